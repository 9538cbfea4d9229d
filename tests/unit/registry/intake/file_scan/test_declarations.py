"""What a file declares is read as onnx reads it; of a damaged or boastful file, nothing is."""

import time

import pytest
from onnx import TensorProto, helper

from registry.intake.file_scan.declarations import read_declaration
from registry.intake.file_scan.sent_files import open_file
from registry.kit.declarations import NOTHING, DeclaredTensor
from tests.support.yolo_models import BOXES, METADATA, SIDE, yolo_export
from tests.support.zipmap_models import a_classifier
from tests.unit.registry.intake.file_scan.mutants import everything, mutants
from tests.unit.registry.intake.onnx_bytes import (
    FLOAT,
    a_file,
    a_model,
    a_weight,
    number,
    piece,
    value,
    with_raw_graph,
)

SLOWEST_S = 0.5


@pytest.fixture
def declared(tmp_path):
    def read(content):
        path = tmp_path / "model.onnx"
        path.write_bytes(content)
        with open_file(path, "model.onnx") as file:
            return read_declaration(file)

    return read


def with_entries(*entries):
    return number(1, 8) + b"".join(piece(14, entry) for entry in entries)


def entry(key, text):
    return piece(1, key) + piece(2, text)


def with_type(content):
    """A model with one output of this type."""
    return with_raw_graph(piece(12, piece(1, b"y") + piece(2, content)))


def a_tensor(*axes):
    return piece(1, number(1, FLOAT) + piece(2, b"".join(piece(1, axis) for axis in axes)))


def test_a_detector(declared):
    found = declared(yolo_export().SerializeToString())

    assert found.metadata == METADATA
    assert found.inputs == (DeclaredTensor("images", FLOAT, (1, 3, SIDE, SIDE)),)
    assert found.outputs == (DeclaredTensor("output0", FLOAT, (1, 6, BOXES)),)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [(None, None), ([], ()), (["rows", 4], (None, 4)), ([None, 4], (None, 4)), ([0, -1, 2], (None, None, 2))],
    ids=["of any rank", "one number", "named", "unnamed", "no size"],
)
def test_shapes(declared, shape, expected):
    model = a_model()
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("y", TensorProto.INT64, shape))

    assert declared(model.SerializeToString()).outputs == (DeclaredTensor("y", TensorProto.INT64, expected),)


def test_inputs_that_have_a_value_in_the_file_are_left_out(declared):
    model = a_model(weights=[a_weight("w"), a_weight("x2")])
    model.graph.input.extend([value("w"), value("another")])

    assert [each.name for each in declared(model.SerializeToString()).inputs] == ["x", "another"]


def test_of_a_size_and_a_name_the_last_one_counts(declared):
    sizes = [number(1, 7) + piece(2, b"rows"), piece(2, b"rows") + number(1, 7)]

    assert declared(with_type(a_tensor(*sizes))).outputs[0].shape == (None, 7)


@pytest.mark.parametrize(
    "content",
    [
        with_entries(*[entry(b"%d" % place, b"") for place in range(65)]),
        with_entries(*[entry(b"%d" % place, bytes(200 << 10)) for place in range(3)]),
        with_entries(entry(b"task", b"detect"), entry(b"task", b"classify")),
        with_entries(entry(b"task", b"\xff")),
        with_entries(entry(b"task", b"detect") + piece(2, b"classify")),
        with_raw_graph(b"".join(piece(12, b"") for _ in range(65))),
        with_type(a_tensor(*[number(1, 1)] * 17)),
        with_type(a_tensor(number(1, 1)) + piece(99, b"")),
        with_raw_graph(piece(12, piece(1, b"\xff") + piece(2, a_tensor()))),
        with_type(a_tensor(piece(2, b"a" * 5_000))),
        with_type(piece(4, b"")),
        with_type(piece(1, piece(2, piece(1, b"\x08\xff")))),
        with_raw_graph(piece(12, piece(1, b"y"))),
        a_classifier(["no", "yes"]).SerializeToString(),
        a_file()[:-3],
        b"no model at all",
    ],
    ids=[
        "many entries", "long entries", "a key twice", "no UTF-8", "two values", "many outputs", "many axes",
        "an unknown field", "a name that is no UTF-8", "a long name", "a list", "cut off inside", "no type", "maps",
        "cut off", "no model",
    ],
)  # fmt: skip
def test_nothing(declared, content):
    assert declared(content) == NOTHING


@pytest.mark.parametrize("make", [everything, lambda: yolo_export().SerializeToString()])
def test_broken_files_are_read_or_not_but_at_once(declared, make):
    read = 0
    for content in mutants(make(), 500, seed=20_261_130):
        started = time.thread_time()
        read += declared(content) != NOTHING
        assert time.thread_time() - started < SLOWEST_S
    assert 0 < read < 500
