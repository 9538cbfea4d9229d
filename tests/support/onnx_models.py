"""Small ONNX files for tests, made on the spot."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from inference.tensors.signature import DTYPES

ELEMENT_TYPES = {name: helper.np_dtype_to_tensor_dtype(dtype) for name, dtype in DTYPES.items()}
FLOAT = TensorProto.FLOAT


def save(path: Path, nodes, inputs, outputs, weights=()) -> Path:
    domains = {"": 17, **{node.domain: 3 for node in nodes if node.domain}}
    model = helper.make_model(
        helper.make_graph(nodes, "graph", inputs, outputs, list(weights)),
        opset_imports=[helper.make_opsetid(*one) for one in domains.items()],
        ir_version=8,
    )
    path.write_bytes(model.SerializeToString())
    return path


def value(name, shape, element_type=FLOAT):
    return helper.make_tensor_value_info(name, element_type, shape)


def identity(path: Path, datatype="FP32", shape=("rows", 4)) -> Path:
    kind = ELEMENT_TYPES[datatype]
    return save(
        path,
        [helper.make_node("Identity", ["x"], ["y"])],
        [value("x", shape, kind)],
        [value("y", shape, kind)],
    )


def scaled(path: Path, factor: float, columns: int = 4) -> Path:
    """y = factor * x; the factor is an input with a value of its own, so a caller may override it."""
    return save(
        path,
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        [value("x", ("rows", columns)), value("factor", (1,))],
        [value("y", ("rows", columns))],
        [numpy_helper.from_array(np.array([factor], np.float32), "factor")],
    )


def seventh(path: Path) -> Path:
    """The seventh number of each row, which shorter rows lack."""
    return save(
        path,
        [helper.make_node("Gather", ["x", "place"], ["y"], axis=1)],
        [value("x", ("rows", "length"))],
        [value("y", ("rows", 1))],
        [numpy_helper.from_array(np.array([7], np.int64), "place")],
    )


def picked(path: Path) -> Path:
    """The number of a row at a place that the caller names."""
    return save(
        path,
        [helper.make_node("Gather", ["x", "place"], ["y"], axis=1)],
        [value("x", ("rows", 4)), value("place", (1,), TensorProto.INT64)],
        [value("y", ("rows", 1))],
    )


def missing_as_zero(path: Path, columns: int = 4) -> Path:
    """y = x, with 0 where x is NaN, as models that take missing values fill them in."""
    return save(
        path,
        [
            helper.make_node("IsNaN", ["x"], ["is_missing"]),
            helper.make_node("Where", ["is_missing", "zero", "x"], ["y"]),
        ],
        [value("x", ("rows", columns))],
        [value("y", ("rows", columns))],
        [numpy_helper.from_array(np.float32(0), "zero")],
    )


def text_codes(path: Path, codes: dict[bytes, int]) -> Path:
    """The number of each text, -1 for one that has none, and how the text looks."""
    encoder = helper.make_node(
        "LabelEncoder", ["x"], ["code"], domain="ai.onnx.ml",
        keys_strings=list(codes), values_int64s=list(codes.values()), default_int64=-1,
    )  # fmt: skip
    shape = ("rows", 1)
    return save(
        path,
        [encoder, helper.make_node("Identity", ["x"], ["text"])],
        [value("x", shape, TensorProto.STRING)],
        [value("code", shape, TensorProto.INT64), value("text", shape, TensorProto.STRING)],
    )


def sum_and_difference(path: Path) -> Path:
    return save(
        path,
        [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Sub", ["a", "b"], ["difference"])],
        [value("a", ("rows", 2)), value("b", ("rows", 2))],
        [value("sum", ("rows", 2)), value("difference", ("rows", 2))],
    )


def text_scores(path: Path) -> Path:
    """Two scores for the numbers of a text's tokens: their mean, and its negative."""
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["numbers"], to=FLOAT),
        helper.make_node("ReduceMean", ["numbers"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Neg", ["mean"], ["other"]),
        helper.make_node("Concat", ["mean", "other"], ["logits"], axis=1),
    ]
    ids = value("input_ids", ["rows", "tokens"], TensorProto.INT64)
    return save(path, nodes, [ids], [value("logits", ["rows", 2])])


def quotient(path: Path) -> Path:
    """a / b of whole numbers; the smallest one by -1 ends the process, and by 0 the runtime refuses."""
    return save(
        path,
        [helper.make_node("Div", ["a", "b"], ["y"])],
        [value("a", ("rows", 1), TensorProto.INT64), value("b", ("rows", 1), TensorProto.INT64)],
        [value("y", ("rows", 1), TensorProto.INT64)],
    )


def swelling(path: Path, most: int = 20_000_000) -> Path:
    """As many thirds as a caller asks for."""
    return save(
        path,
        [
            helper.make_node("Min", ["count", "most"], ["few"]),
            helper.make_node("Max", ["few", "none"], ["size"]),
            helper.make_node(
                "ConstantOfShape",
                ["size"],
                ["y"],
                value=numpy_helper.from_array(np.array([1 / 3], np.float32)),
            ),
        ],
        [value("count", (1,), TensorProto.INT64)],
        [value("y", ("numbers",))],
        [
            numpy_helper.from_array(np.array([most], np.int64), "most"),
            numpy_helper.from_array(np.array([0], np.int64), "none"),
        ],
    )


CRASHES_AT = 4141


def crashing_at(path: Path, crashes_at: int = CRASHES_AT) -> Path:
    """The smallest number / (x - crashes_at - 1): one x of all ends the process, and no check would guess it."""
    return save(
        path,
        [
            helper.make_node("Sub", ["x", "far"], ["less"]),
            helper.make_node("Div", ["smallest", "less"], ["y"]),
        ],
        [value("x", ("rows", 1), TensorProto.INT64)],
        [value("y", ("rows", 1), TensorProto.INT64)],
        [
            numpy_helper.from_array(np.array([crashes_at + 1], np.int64), "far"),
            numpy_helper.from_array(np.array([-(2**63)], np.int64), "smallest"),
        ],
    )


def endless(path: Path) -> Path:
    """A Loop whose condition stays true."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Add", ["v", "one"], ["v_next"])],
        "body",
        [value("i", (), TensorProto.INT64), value("go", (), TensorProto.BOOL), value("v", None)],
        [value("go_on", (), TensorProto.BOOL), value("v_next", None)],
        [numpy_helper.from_array(np.float32(1), "one")],
    )
    return save(
        path,
        [helper.make_node("Loop", ["", "yes", "x"], ["y"], body=body)],
        [value("x", ("rows", 4))],
        [value("y", ("rows", 4))],
        [numpy_helper.from_array(np.array(True), "yes")],
    )


def bomb(path: Path, mebibytes: int) -> Path:
    """A file of a few hundred bytes that fills memory in its first run, by an input that decides the size."""
    return save(
        path,
        [
            helper.make_node("Shape", ["x"], ["shape"]),
            helper.make_node("Mul", ["shape", "times"], ["size"]),
            helper.make_node("ConstantOfShape", ["size"], ["much"]),
            helper.make_node("ReduceMax", ["much"], ["most"], keepdims=0),
            helper.make_node("Add", ["x", "most"], ["y"]),
        ],
        [value("x", ("rows", 4))],
        [value("y", ("rows", 4))],
        [numpy_helper.from_array(np.array([mebibytes, 1 << 16], np.int64), "times")],
    )


def expanding(path: Path) -> Path:
    """The sum of as many ones as it is told, all of them made first."""
    return save(
        path,
        [
            helper.make_node("Expand", ["one", "count"], ["ones"]),
            helper.make_node("ReduceSum", ["ones"], ["y"], keepdims=0),
        ],
        [value("count", (1,), TensorProto.INT64)],
        [value("y", ())],
        [numpy_helper.from_array(np.ones(1, np.float32), "one")],
    )
