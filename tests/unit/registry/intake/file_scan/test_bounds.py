"""Large files: weights are stepped over, and neither memory nor reading grows with them."""

import os
import tracemalloc

import pytest
from onnx import TensorProto

from registry.intake.file_scan import scan_file
from tests.unit.registry.intake.onnx_bytes import a_file, number, piece, varint, with_raw_graph

MIB = 1 << 20


@pytest.fixture
def read_bytes(monkeypatch):
    """How much was read of files, as a list with one number."""
    total, real = [0], os.pread

    def pread(descriptor, size, at):
        got = real(descriptor, size, at)
        total[0] += len(got)
        return got

    monkeypatch.setattr(os, "pread", pread)
    return total


def a_heavy_file(path, tensors, size):
    """A file of many tensors whose weights are holes: it takes no room on the disk."""
    head = number(2, 1) + piece(8, b"w") + number(1, size // 4)
    tensor_bytes = len(head) + len(varint(9 << 3 | 2) + varint(size)) + size
    one = varint(5 << 3 | 2) + varint(tensor_bytes) + head + varint(9 << 3 | 2) + varint(size)
    with path.open("wb") as file:
        file.write(number(1, 8) + varint(7 << 3 | 2) + varint(tensors * (len(one) + size)))
        for _ in range(tensors):
            file.write(one)
            file.seek(size, os.SEEK_CUR)
        file.write(piece(8, number(2, 17)))
    return path


def test_weights_are_not_read(tmp_path, read_bytes):
    path = a_heavy_file(tmp_path / "model.onnx", tensors=19, size=100 * MIB)
    tracemalloc.start()

    facts = scan_file(path)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert facts.initializer_bytes == 1_900 * MIB
    assert read_bytes[0] < 2 * MIB and peak < MIB


def test_numbers_that_must_be_counted_are_read_in_pieces(tmp_path, read_bytes):
    """Varints have no fixed size, so how many there are only their bytes say."""
    tensor = piece(7, b"\x01" * 40 * MIB) + number(2, TensorProto.INT64) + number(1, 40 * MIB)
    path = tmp_path / "model.onnx"
    path.write_bytes(with_raw_graph(piece(5, tensor)))
    del tensor
    tracemalloc.start()

    facts = scan_file(path)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert facts.initializers == 1
    assert peak < 6 * MIB and read_bytes[0] < 42 * MIB


@pytest.mark.parametrize("size", [65_500, 65_510, 65_520, 65_530, 65_536, 65_540, 131_072])
def test_what_lies_across_the_windows_edge(tmp_path, size):
    path = tmp_path / "model.onnx"
    path.write_bytes(a_file(producer_version="v", doc_string="t" * size))

    assert (scan_file(path).producer, scan_file(path).nodes) == ("v", 1)


@pytest.mark.parametrize("count", [16_380, 16_384, 100_000])
def test_long_runs_of_numbers_across_the_windows_edge(tmp_path, count):
    single = b"".join(b"\x25" + bytes(4) for _ in range(count))  # not packed
    path = tmp_path / "model.onnx"
    path.write_bytes(with_raw_graph(piece(5, number(1, count) + number(2, 1) + single)))

    assert scan_file(path).initializer_bytes == 5 * count
