"""Writes the folder of an example: its model, what is said about it, and a request that it answers."""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).parent
OPSET, ML_OPSET, IR = 17, 3, 9


def save(slug, graph, *, files=None, metadata=None, **about):
    """`files` are those that the task needs beside the model, by name."""
    write_example(slug, {"model.onnx": serialize(graph, metadata), **(files or {})}, **about)


def write_example(slug, files, *, title, notes, sample, **about):
    folder = HERE / slug
    folder.mkdir(exist_ok=True)
    (folder / "about.json").write_text(json.dumps({"title": title, "notes": notes, **about}, indent=2) + "\n")
    (folder / "sample.json").write_text(json.dumps(sample) + "\n")
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def serialize(graph, metadata=None):
    """The bytes of a model file. `metadata` are its properties, by name."""
    domains = {"": OPSET, **{node.domain: ML_OPSET for node in graph.node if node.domain}}
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid(*one) for one in domains.items()],
        ir_version=IR,
        producer_name="roundhouse-examples",
    )
    helper.set_model_props(model, metadata or {})
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def floats(name, *shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


def integers(name, *shape):
    return helper.make_tensor_value_info(name, TensorProto.INT64, list(shape))


def texts(name, *shape):
    return helper.make_tensor_value_info(name, TensorProto.STRING, list(shape))


def constant(name, values):
    # Rounded, so that another machine's linear algebra gives the same bytes.
    return numpy_helper.from_array(np.round(np.asarray(values), 4).astype(np.float32), name)


def exact(name, values):
    """A constant of multiples of 1/1024, whose sums are the same in whatever order they are added."""
    return numpy_helper.from_array((np.round(np.asarray(values) * 1024) / 1024).astype(np.float32), name)


def whole(name, values):
    """A constant of whole numbers."""
    return numpy_helper.from_array(np.asarray(values, np.int64), name)
