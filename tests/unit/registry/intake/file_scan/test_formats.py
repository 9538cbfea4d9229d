"""What is refused at once, and what is left to the scan."""

import os

import pytest

from registry.intake.file_scan import ScanLimits
from registry.intake.file_scan.errors import FileRefused
from registry.intake.file_scan.scan import check_format
from tests.support.model_files import looks_like_a_model
from tests.support.processes import ROOT
from tests.unit.registry.intake.hostile_files import HOSTILE
from tests.unit.registry.intake.onnx_bytes import a_file, number, piece

GOOD = (ROOT / "examples" / "demand" / "model.onnx").read_bytes()


@pytest.fixture
def look(tmp_path):
    def at(content):
        path = tmp_path / "model.onnx"
        path.write_bytes(content)
        descriptor = os.open(path, os.O_RDONLY)
        try:
            check_format(descriptor, ScanLimits())
        finally:
            os.close(descriptor)

    return at


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty_file"),
        (b"not much of a model", "not_onnx"),
        (b"2not much of a model", "not_onnx"),
        (b"x" * 1_000_000, "not_onnx"),
        (bytes(5000), "not_onnx"),
        (bytes(range(256)) * 10, "not_onnx"),
        (b"{\"a\": 1}", "not_onnx"),
        (b"PK\x03\x04" + bytes(26) + b"archive/data.pkl", "not_onnx"),
        (number(1, 8), "not_onnx"),
        (GOOD[:-1], "truncated_file"),
        (GOOD[: len(GOOD) // 2], "truncated_file"),
        (GOOD + b"\0more", "malformed_file"),
        (GOOD + GOOD, "malformed_file"),
    ],
    ids=[
        "nothing", "text", "text that looks like a field", "one letter", "zeros", "bytes", "json", "torch", "no graph",
        "one byte less", "half", "more behind it", "twice",
    ],
)  # fmt: skip
def test_what_is_no_whole_model_is_refused(look, content, code):
    with pytest.raises(FileRefused) as caught:
        look(content)

    assert caught.value.code == code
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("content", [GOOD, a_file(), looks_like_a_model(b"any text")])
def test_a_model_passes(look, content):
    look(content)


def test_graphs_are_stepped_over(look, monkeypatch):
    """However large: what is in them is the scan's."""
    sizes, real = [], os.pread
    monkeypatch.setattr(
        os, "pread", lambda descriptor, size, at: sizes.append(size) or real(descriptor, size, at)
    )

    look(number(1, 8) + piece(7, b"\xff" * 10_000_000))

    assert sum(sizes) < 200_000


KINDS = [hostile for hostile in HOSTILE if hostile.code in {"not_onnx", "empty_file", "truncated_file"}]


@pytest.mark.parametrize("hostile", KINDS, ids=lambda hostile: hostile.name)
def test_every_other_kind_of_file_that_the_scan_refuses(tmp_path, look, hostile):
    (tmp_path / "made").mkdir()
    path = hostile.write(tmp_path / "made")

    with pytest.raises(FileRefused) as caught:
        look(path.read_bytes())

    assert caught.value.code == hostile.code and hostile.names in str(caught.value)
