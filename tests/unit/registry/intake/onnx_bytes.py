"""ONNX files field by field, for what the onnx library would not write."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT
VARINT, LENGTH = 0, 2


def varint(number):
    number &= (1 << 64) - 1
    pieces = bytearray()
    while number > 0x7F:
        pieces.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*pieces, number])


def number(field, value):
    return varint(field << 3 | VARINT) + varint(value)


def piece(field, content):
    return varint(field << 3 | LENGTH) + varint(len(content)) + content


def value(name, shape=("rows", 4)):
    return helper.make_tensor_value_info(name, FLOAT, shape)


def a_graph(nodes=(), weights=(), sparse=(), name="graph"):
    identity = helper.make_node("Identity", ["x"], ["y"], name="last")
    return helper.make_graph(
        [*nodes, identity], name, [value("x")], [value("y")], list(weights), sparse_initializer=list(sparse)
    )


def a_model(nodes=(), weights=(), sparse=(), functions=(), opsets=(("", 17),), ir_version=10, **more):
    return helper.make_model(
        a_graph(nodes, weights, sparse),
        opset_imports=[helper.make_opsetid(*opset) for opset in opsets],
        functions=list(functions),
        ir_version=ir_version,
        **more,
    )


def a_file(*nodes, **more):
    return a_model(nodes, **more).SerializeToString()


def a_function(name, *calls, domain="own"):
    nodes = [helper.make_node(call, ["a"], [f"b{place}"], domain=domain) for place, call in enumerate(calls)]
    return helper.make_function(
        domain, name, ["a"], ["b0"], nodes or [helper.make_node("Identity", ["a"], ["b0"])],
        [helper.make_opsetid("", 17), helper.make_opsetid(domain, 1)],
    )  # fmt: skip


def a_weight(name="w", values=(1.0, 2.0)):
    return numpy_helper.from_array(np.array(values, np.float32), name)


def external(location, name="w", **entries):
    """A tensor whose data is said to lie elsewhere."""
    tensor = TensorProto(name=name, data_type=FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, text in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=text)
    return tensor


def with_raw_graph(content):
    """A model whose graph is these bytes."""
    opset = piece(8, number(2, 17))
    return number(1, 8) + piece(7, content) + opset


def nested(depth):
    """A graph in an attribute of a node of a graph, and so on."""
    graph = a_graph().SerializeToString()
    for _ in range(depth):
        attribute = piece(1, b"body") + piece(6, graph) + number(20, 5)
        graph = piece(1, piece(4, b"If") + piece(5, attribute))
    return with_raw_graph(graph)
