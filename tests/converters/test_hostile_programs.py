"""What a hostile TorchScript file or pickle does is refused by the kernel and works without the guard; mutants end no parent."""

import collections
import json
import os
import pickle
import random
import signal
import socket
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from inference.confinement import parent
from inference.convert.converting import Conversion, ConversionLimits, SourceFile, run_source
from inference.convert.errors import ConversionRefused
from tests.converters.conftest import make_models
from tests.support.converter_programs import UNGUARDED_START

LIMITS = ConversionLimits(time_s=30, memory_bytes=1 << 30)
CODES = {"refused", "failed", "crashed", "memory", "timed_out"}
SECRET, FILE = "secret", "file"  # an error may name the file


@dataclass
class Scene:
    """A folder that is none of the child's, a port, and a signal, with what happened to them."""

    private: Path
    listener: socket.socket
    signals: list[int] = field(default_factory=list)

    def effects(self, source: SourceFile) -> set[str]:
        """What running and converting the file brought to light, or changed."""
        self._reset()
        found = (
            {"read"}
            if any(SECRET.encode() in answer for answer in (_run(source), _convert(source)))
            else set()
        )
        if sorted(os.listdir(self.private)) != [FILE] or (self.private / FILE).read_text() != SECRET:
            found.add("written")
        try:
            self.listener.accept()[0].close()
            found.add("connected")
        except BlockingIOError:
            pass
        return found | ({"signalled"} if self.signals else set())

    def _reset(self) -> None:
        for path in self.private.iterdir():
            path.unlink()
        (self.private / FILE).write_text(SECRET)
        self.signals.clear()


def _run(source: SourceFile) -> bytes:
    try:
        (answer,) = run_source(source, [{"input": np.ones((1, 6), np.float32)}], limits=LIMITS)
    except ConversionRefused as refused:
        assert refused.code in CODES
        return str(refused).encode()
    return b"".join(np.nan_to_num(one).astype(np.uint8).tobytes() for one in answer.values())


def _convert(source: SourceFile) -> bytes:
    try:
        with Conversion(source, limits=LIMITS) as converted:
            content = converted.path.read_bytes()
    except ConversionRefused as refused:
        assert refused.code in CODES
        return str(refused).encode()
    letters = np.frombuffer(SECRET.encode(), np.uint8).astype(np.float32).tobytes()
    return content.replace(letters, SECRET.encode())


@pytest.fixture
def scene(tmp_path):
    private = tmp_path / "private"
    private.mkdir()
    (private / FILE).write_text(SECRET)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        one = Scene(private, listener)
        before = signal.signal(signal.SIGUSR2, lambda number, _: one.signals.append(number))
        yield one
        signal.signal(signal.SIGUSR2, before)


@pytest.fixture
def unguarded(monkeypatch):
    monkeypatch.setattr(parent, "_START", UNGUARDED_START)


# TorchScript

TORCHSCRIPT = {
    "read_secret": {"read"}, "read_when_loaded": {"read"}, "write_file": {"written"}, "create_file": {"written"},
    "write_when_loaded": {"written"}, "overwrite": {"written"},
    # PyTorch's own reader of TorchScript calls nothing that a pickle names, and ours never unpickles
    "reduce": set(), "saved": set(), "plain": set(),
}  # fmt: skip


@pytest.fixture
def torchscript(scene, tmp_path):
    secret, marker = tmp_path / "private" / FILE, tmp_path / "private" / "marker"
    folder = tmp_path / "files"
    folder.mkdir()
    make_models("torch", "torch_hostile.py", folder, secret, marker)
    return lambda name: SourceFile(folder / f"{name}.pt", "torchscript", {"shapes": {"input": [-1, 6]}})


def test_the_kernel_refuses_what_torchscript_does(scene, torchscript):
    found = {name: scene.effects(torchscript(name)) for name in TORCHSCRIPT}

    assert found == {name: set() for name in TORCHSCRIPT}


def test_without_the_guard_torchscript_does_it(scene, torchscript, unguarded):
    """Negative control."""
    assert {name: scene.effects(torchscript(name)) for name in TORCHSCRIPT} == TORCHSCRIPT


def test_the_pickles_in_torchscript_files_do_harm_where_they_are_unpickled(scene, torchscript):
    """Negative control of those that are never unpickled."""
    pickle.loads(torchscript("plain").path.read_bytes())

    assert (scene.private / "marker").exists()


@pytest.mark.parametrize(("name", "code"), [("endless", "timed_out"), ("greedy", "memory")])
def test_torchscript_that_takes_too_much_is_stopped(torchscript, name, code):
    with pytest.raises(ConversionRefused) as caught:
        run_source(
            torchscript(name),
            [{"input": np.ones((1, 6), np.float32)}],
            limits=ConversionLimits(time_s=15, memory_bytes=1 << 30),
        )

    assert caught.value.code == code


# Pickles

PICKLES = {
    "runs a command": ("__import__('os').system('echo > {marker}')", "written"),
    "writes a file": ("open('{marker}', 'w').close()", "written"),
    "reads a file": ("raise ValueError(open('{secret}').read())", "read"),
    "connects": ("__import__('socket').create_connection(('127.0.0.1', {port})).close()", "connected"),
    "forks": ("import os\nif os.fork() == 0:\n open('{marker}', 'w').close()\n os._exit(0)\nos.wait()", "written"),
    "becomes a program": (
        "import os; os.execv('/bin/sh', ['sh', '-c', 'echo > {marker}'])", "written",
    ),
    "signals its parent": ("import os, signal; os.kill(os.getppid(), signal.SIGUSR2)", "signalled"),
    "calls the C library": (
        "import ctypes, os; os.close(ctypes.CDLL(None).open(b'{marker}', os.O_CREAT | os.O_WRONLY, 0o600))", "written",
    ),
    "deletes a file": ("import os; os.unlink('{secret}')", "written"),
}  # fmt: skip


class Hostile:
    def __init__(self, code: str) -> None:
        self.code = code

    def __reduce__(self):
        return exec, (self.code,)


@pytest.fixture
def pickled(scene, tmp_path):
    def make(case):
        path = tmp_path / "model.pkl"
        places = {
            "secret": scene.private / FILE,
            "marker": scene.private / "marker",
            "port": scene.listener.getsockname()[1],
        }
        path.write_bytes(pickle.dumps(Hostile(PICKLES[case][0].format(**places))))
        return SourceFile(path, "pickle")

    return make


@pytest.mark.parametrize("case", PICKLES, ids=lambda case: case.replace(" ", "_"))
def test_the_kernel_refuses_what_a_pickle_does(scene, pickled, case):
    assert scene.effects(pickled(case)) == set()


@pytest.mark.parametrize("case", PICKLES, ids=lambda case: case.replace(" ", "_"))
def test_without_the_guard_a_pickle_does_it(scene, pickled, unguarded, case):
    """Negative control."""
    assert scene.effects(pickled(case)) == {PICKLES[case][1]}


# Files that are no programs


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    make_models("torch", "torch_models.py", folder)
    make_models("sklearn", "tabular_models.py", folder)
    return folder


def test_skops_does_not_call_what_a_file_names(scene, files, tmp_path):
    """Neither with the guard nor without: the names are compared with a list before anything is loaded."""
    path = tmp_path / "hostile.skops"
    with zipfile.ZipFile(files / "logistic.skops") as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "schema.json":
                schema = json.loads(content)
                schema["content"] = {
                    "__class__": "system", "__module__": "os", "__loader__": "FunctionNode", "__id__": 1,
                    "content": {"module_path": "os", "function": "system"},
                }  # fmt: skip
                schema |= {"__class__": "system", "__module__": "os", "__loader__": "FunctionNode"}
                content = json.dumps(schema).encode()
            new.writestr(name, content)

    with pytest.raises(ConversionRefused) as caught, Conversion(SourceFile(path, "skops")):
        pass

    assert caught.value.code == "refused"
    assert "os.system" in str(caught.value) or "cannot be read" in str(caught.value)


# File: format, options.
MUTATED = {
    "mlp.pt": ("torchscript", {"shapes": [[-1, 4]]}), "logistic.skops": ("skops", {}), "boosting.skops": ("skops", {}),
    "xgboost.json": ("xgboost", {}), "xgboost.ubj": ("xgboost", {}), "lightgbm.txt": ("lightgbm", {}),
    "boosting.pkl": ("pickle", {}), "forest.joblib": ("pickle", {}),
}  # fmt: skip


def mutant(content: bytes, seed: int) -> bytes:
    """Flip bytes, cut, repeat or swap a part; in an archive, half of the time inside a member, behind its checksum."""
    rng = random.Random(seed)
    if content[:2] == b"PK" and seed % 2:
        return _with_mutated_member(content, rng)
    return _mutated(content, rng)


def _with_mutated_member(content: bytes, rng: random.Random) -> bytes:
    made = BytesIO()
    with zipfile.ZipFile(BytesIO(content)) as old, zipfile.ZipFile(made, "w") as new:
        chosen = rng.choice(old.namelist())
        for name in old.namelist():
            new.writestr(name, _mutated(old.read(name), rng) if name == chosen else old.read(name))
    return made.getvalue()


def _mutated(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content or b"\0")
    start = rng.randrange(len(changed))
    part = slice(start, start + rng.randint(1, 64))
    match rng.randrange(5):
        case 0:
            for _ in range(rng.randint(1, 8)):
                changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        case 1:
            del changed[start:]
        case 2:
            changed[start:start] = changed[part]
        case 3:
            changed[part] = rng.randbytes(len(changed[part]))
        case 4:
            other = rng.randrange(len(changed))
            changed[part] = changed[other : other + 64]
    return bytes(changed)


def outcomes(files, tmp_path, name, count):
    format_, options = MUTATED[name]
    content = (files / name).read_bytes()

    def convert(seed):
        path = tmp_path / f"{seed}-{name}"
        path.write_bytes(mutant(content, seed))
        try:
            with Conversion(SourceFile(path, format_, options), limits=LIMITS):
                return "converted"
        except ConversionRefused as refused:
            return refused.code
        finally:
            path.unlink()

    with ThreadPoolExecutor(3) as pool:
        return collections.Counter(pool.map(convert, range(count)))


@pytest.mark.parametrize("name", MUTATED)
def test_no_mutant_ends_the_parent(files, tmp_path, name):
    found = outcomes(files, tmp_path, name, 8)

    assert found.total() == 8
    assert found.keys() <= CODES | {"converted"}


@pytest.mark.long
@pytest.mark.parametrize("name", MUTATED)
def test_none_of_two_hundred_mutants_ends_the_parent(files, tmp_path, name):
    found = outcomes(files, tmp_path, name, 200)

    assert found.total() == 200
    assert found.keys() <= CODES | {"converted"}


def test_mutants_differ_from_the_file(files):
    """Negative control."""
    content = (files / "mlp.pt").read_bytes()

    assert len({mutant(content, seed) for seed in range(20)} - {content}) > 15
