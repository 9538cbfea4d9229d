"""Whatever a converter does, its parent gets an answer with a code, in time, and nothing is left of it."""

import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from inference import scratch as scratching
from inference.confinement import parent
from inference.convert import converting
from inference.convert.converting import Conversion, ConversionLimits, SourceFile, run_source
from inference.convert.errors import ConversionRefused
from tests.support import converter_programs

DONE = '{{"phase": "done", "resident_bytes": 1, "code": "done", "facts": {}}}'
LIMITS = ConversionLimits(time_s=30, memory_bytes=256 << 20)


@pytest.fixture(autouse=True)
def scratch(tmp_path, settings):
    settings.DATA_DIR = tmp_path / "data"
    return settings.DATA_DIR / "tmp" / "checks"


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    monkeypatch.setattr(converting, "python_of", lambda _: Path(sys.executable))
    monkeypatch.setattr(parent, "_START", converter_programs.START)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"a model")

    return lambda **options: SourceFile(path, "tflite", options)


def refusal_of(source, limits=LIMITS):
    with pytest.raises(ConversionRefused) as caught, Conversion(source, limits=limits):
        pass
    return caught.value.code, str(caught.value)


def test_a_converted_file_is_there_until_the_end(source, scratch):
    with Conversion(source(act="convert"), limits=LIMITS) as converted:
        content, facts, path = converted.path.read_bytes(), converted.facts, converted.path

    assert (content, facts) == (b"a model", {"opset": 17})
    assert not path.exists() and not any(scratch.iterdir())


def test_what_is_not_installed_is_refused_with_the_command(source, monkeypatch):
    monkeypatch.setattr(converting, "python_of", lambda _: None)

    code, message = refusal_of(source(act="convert"))

    assert code == "not_installed"
    assert "manage.py install_converter tensorflow" in message


@pytest.mark.parametrize(
    ("act", "limits", "code", "words"),
    [
        ("refuse", LIMITS, "refused", "paint it"),
        ("raise", LIMITS, "failed", "ValueError: It says  [31m this."),
        ("wait", ConversionLimits(time_s=1.5), "timed_out", "longer than 1.5 s"),
        ("take memory", ConversionLimits(30, 64 << 20), "memory", "more than 64 MiB"),
        ("crash", LIMITS, "crashed", "SIGSEGV"),
        ("signal", LIMITS, "crashed", "exit status -40"),
        ("fill", ConversionLimits(30, 256 << 20, 64 << 20), "failed", "more than 64 MiB"),
        ("nest", LIMITS, "failed", "gave no answer"),
        ("litter", LIMITS, "failed", "too many files"),
        ("nothing", LIMITS, "failed", "without a model"),
        ("link", LIMITS, "failed", "Permission denied"),
    ],
)
def test_each_end_has_its_code(source, scratch, act, limits, code, words):
    found, message = refusal_of(source(act=act), limits)

    assert found == code
    assert words in message
    assert not any(scratch.iterdir())


def test_nested_folders_would_stay(source, scratch, monkeypatch):
    """Negative control."""
    remove_deep = scratching._remove_deep
    monkeypatch.setattr(scratching, "_remove_deep", lambda _: None)

    refusal_of(source(act="nest"))
    left = [path for path in scratch.iterdir() if path.is_dir()]

    assert len(left) == 1
    remove_deep(left[0])
    assert not left[0].exists()


def test_a_host_that_cannot_confine_converts_nothing(source, monkeypatch):
    lacking = (
        "import sys; sys.path.insert(0, sys.argv.pop(1));"
        "from inference.confinement import landlock; landlock.version = lambda: 0;"
        "from tests.support.converter_programs import main; program = {!r}; main()"
    )
    monkeypatch.setattr(parent, "_START", lacking)

    assert refusal_of(source(act="convert"))[0] == "not_confined"


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (["5"], "crashed"),
        (["[" * 5_000], "crashed"),
        (["[1, 2]"], "crashed"),
        (["half a"], "crashed"),
        ([], "crashed"),
        ([DONE.format('{"a": NaN}')], "failed"),
        ([DONE.format(r'{"a": "\ud800"}')], "failed"),
        ([DONE.format(r'{"a": "\u0000"}')], "failed"),
        ([DONE.format('{"a": "LONG"}')], "failed"),
        ([DONE.format('"text"')], "failed"),
        (['{"phase": "done", "code": ["mine"], "message": {}}'], "failed"),
    ],
)
def test_a_child_that_a_file_controls_cannot_confuse_its_parent(source, lines, code):
    assert refusal_of(source(act="say", lines=lines))[0] == code


def test_a_file_is_run_by_its_own_runtime(source):
    first, second = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((1, 3), np.float32)

    answers = run_source(source(), [{"x": first}, {"x": second}], limits=LIMITS)

    assert [one["x"].tolist() for one in answers] == [(first * 2).tolist(), (second * 2).tolist()]


def _npz(*entries, method=zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return file.getvalue()


def _npy(header: bytes, content: bytes = b"") -> bytes:
    header = header.ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content


def _pickled() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([{}], dtype=object))
    return file.getvalue()


HUGE = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1125899906842624,)}"


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b"PK\x03\x04 not a zip",
        _pickled(),
        _npz(("0/x.npy", _pickled())),
        _npz(("7/x.npy", _npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': ()}", b"1234"))),
        _npz(("x.npy", b"")),
        _npz(("0/x.npy", _npy(HUGE))),
        _npz(("0/x.npy", _npy(b"__import__('os').abort()"))),
        _npz(("0/x.npy", b"\0" * (8 << 20)), method=zipfile.ZIP_DEFLATED),
    ],
    ids=["nothing", "no zip", "a pickle", "a pickle inside", "of no set", "no array", "huge", "a program", "compressed"],
)  # fmt: skip
def test_answers_that_a_file_made_up_are_refused(source, written):
    with pytest.raises(ConversionRefused) as caught:
        run_source(source(writes=written.hex()), [{"x": np.ones(1, np.float32)}], limits=LIMITS)

    assert caught.value.code == "failed"
