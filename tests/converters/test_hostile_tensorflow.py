"""What a hostile SavedModel does is refused by the kernel and works without the guard; damaged files never end the parent."""

import io
import random
import shutil
import socket
import tarfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from inference.confinement import parent
from inference.convert.converting import Conversion, ConversionLimits, SourceFile, run_source
from inference.convert.errors import ConversionRefused
from tests.converters.conftest import make_models
from tests.support.converter_programs import UNGUARDED_START

LIMITS = ConversionLimits(time_s=20)
INPUTS = [{"x": np.ones(1, np.float32)}]
CONTENT = "xyzzy"
UNNAMED = "plover"  # a file beside the secret, which no graph names
CODES = {"refused", "failed", "crashed", "memory", "timed_out"}
# What each does, and what shows that it did.
READS = ["read_secret", "list_folder", "read_lines", "read_records", "reads_when_loaded"]
WRITES = ["write_file", "print_to_file", "save_checkpoint", "cache_to_file", "dump_for_debugger", "summaries"]


@dataclass
class Scene:
    folder: Path
    private: Path
    listener: socket.socket

    def source(self, name: str) -> SourceFile:
        path = self.folder / f"{name}.tar"
        with tarfile.open(path, "w") as archive:
            archive.add(self.folder / name, name)
        return SourceFile(path, "saved_model")

    def effects(self, name: str) -> set[str]:
        """What running it and converting it brought to light, or changed."""
        found = set()
        for answer in (self._run(name), self._convert(name)):
            if CONTENT in answer or UNNAMED in answer:
                found.add("read")
        if any(path.name not in {"secret", UNNAMED} for path in self.private.iterdir()):
            found.add("written")
        try:
            self.listener.accept()[0].close()
            found.add("connected")
        except BlockingIOError:
            pass
        return found

    def _run(self, name: str) -> str:
        try:
            return str(run_source(self.source(name), INPUTS, limits=LIMITS))
        except ConversionRefused as refused:
            assert refused.code in CODES
            return str(refused)

    def _convert(self, name: str) -> str:
        try:
            with Conversion(self.source(name), limits=LIMITS) as converted:
                return str(converted.path.read_bytes())
        except ConversionRefused as refused:
            assert refused.code in CODES
            return str(refused)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder, private = tmp_path_factory.mktemp("hostile"), tmp_path_factory.mktemp("private")
    (private / "secret").write_text(CONTENT)
    (private / UNNAMED).write_text("")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        port = listener.getsockname()[1]
        make_models(
            "tensorflow", "tensorflow_hostile.py", folder, private / "secret", private / "marker", port
        )
        yield Scene(folder, private, listener)


@pytest.fixture
def scene(made):
    yield made
    for path in made.private.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in {"secret", UNNAMED}:
            path.unlink()


@pytest.fixture
def unguarded(monkeypatch):
    monkeypatch.setattr(parent, "_START", UNGUARDED_START)


ALL = [*READS, *WRITES, "data_service", "python_function"]


@pytest.mark.parametrize("name", ALL)
def test_the_kernel_refuses_what_a_graph_does(scene, name):
    assert scene.effects(name) == set()


@pytest.mark.parametrize("name", ALL)
def test_without_the_guard_it_works(scene, unguarded, name):
    """Negative control. A function of Python alone does not survive being saved: only its name is in the file."""
    wanted = {"read"} if name in READS else {"written"} if name in WRITES else {"connected"}

    assert scene.effects(name) == (set() if name == "python_function" else wanted)


def mutants(content: bytes, count: int) -> list[bytes]:
    """A file with a bit, some bytes or a word changed, or with its end cut off."""
    chance, found = random.Random(27), []
    for number in range(count):
        changed = bytearray(content)
        if number % 4 == 3:
            del changed[chance.randrange(len(changed)) :]
        elif number % 4 == 2:
            at = chance.randrange(len(changed) - 4)
            changed[at : at + 4] = chance.choice([b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\0\0\0\x80"])
        elif number % 4 == 1:
            for _ in range(chance.randrange(2, 30)):
                changed[chance.randrange(len(changed))] = chance.randrange(256)
        else:
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        found.append(bytes(changed))
    return found


def lite_mutants(folder: Path, count: int) -> list[bytes]:
    names = ("dense.tflite", "cnn-int8.tflite", "two_ways.tflite", "cnn-float16.tflite")
    return [one for name in names for one in mutants((folder / name).read_bytes(), count // len(names))]


def saved_mutants(folder: Path, count: int) -> list[bytes]:
    """Each a tar with one file changed."""
    changed_files = [
        ("dense", "saved_model.pb"), ("sequences", "saved_model.pb"), ("dense", "variables/variables.index"),
        ("dense", "variables/variables.data-00000-of-00001"),
    ]  # fmt: skip
    found = []
    for model, changed in changed_files:
        root = folder / model
        files = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for content in mutants(files[changed], count // len(changed_files)):
            file = io.BytesIO()
            with tarfile.open(fileobj=file, mode="w") as archive:
                for name, kept in {**files, changed: content}.items():
                    entry = tarfile.TarInfo(name)
                    entry.size = len(kept)
                    archive.addfile(entry, io.BytesIO(kept))
            found.append(file.getvalue())
    return found


MUTANT_INPUTS = [{"features": np.ones((2, 8), np.float32)}]


def end_of(path: Path, format: str) -> str:
    """Convert it, then run it; how both ended."""
    source, ends = SourceFile(path, format), []
    try:
        with Conversion(source, limits=LIMITS):
            ends.append("converted")
    except ConversionRefused as refused:
        ends.append(refused.code)
    try:
        run_source(source, MUTANT_INPUTS, limits=LIMITS)
        ends.append("ran")
    except ConversionRefused as refused:
        ends.append(refused.code)
    return " and ".join(ends)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("good")
    make_models("tensorflow", "tensorflow_models.py", path, path / "marker")
    return path


@pytest.mark.parametrize("count", [8, pytest.param(200, marks=pytest.mark.long)])
@pytest.mark.parametrize(("format", "make"), [("tflite", lite_mutants), ("saved_model", saved_mutants)])
def test_damaged_files_end_no_parent(good, tmp_path, settings, capsys, format, make, count):
    paths = []
    for number, content in enumerate(make(good, count)):
        paths.append(tmp_path / f"mutant-{number}")
        paths[-1].write_bytes(content)

    with ThreadPoolExecutor(2) as threads:
        ends = Counter(threads.map(lambda path: end_of(path, format), paths))

    with capsys.disabled():
        print(f"\n{format}, {len(paths)} mutants:", dict(ends.most_common()))
    assert sum(ends.values()) == count
    assert {word for end in ends for word in end.split(" and ")} <= {*CODES, "converted", "ran"}
    assert not any((settings.DATA_DIR / "tmp" / "checks").iterdir())
