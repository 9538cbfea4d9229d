"""Models for the benchmarks: random weights, written once to var/bench."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

FOLDER = Path(__file__).resolve().parents[1] / "var" / "bench"


class Graph:
    """Collects nodes and random weights. Every method returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list = []
        self.weights: list = []
        self.random = np.random.default_rng(1)

    def add(self, kind: str, *inputs: str, **attributes) -> str:
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def weight(self, *shape: int) -> str:
        fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 0
        scale = np.sqrt(2 / fan_in) if fan_in else 0.0
        array = (self.random.standard_normal(shape) * scale).astype(np.float32)
        self.weights.append(numpy_helper.from_array(array, f"w{len(self.weights)}"))
        return self.weights[-1].name

    def dense(self, x: str, columns: int, units: int) -> str:
        return self.add("Gemm", x, self.weight(units, columns), self.weight(units), transB=1)

    def conv(self, x: str, channels: int, filters: int, size: int, stride: int = 1) -> str:
        pad = [size // 2] * 4
        weight, bias = self.weight(filters, channels, size, size), self.weight(filters)
        return self.add(
            "Conv", x, weight, bias, pads=pad, strides=[stride, stride], kernel_shape=[size, size]
        )

    def relu(self, x: str) -> str:
        return self.add("Relu", x)

    def save(self, path: Path, shape: list, columns: int) -> Path:
        self.nodes[-1].output[0] = "y"
        graph = helper.make_graph(
            self.nodes,
            path.stem,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", *shape])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", columns])],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(model.SerializeToString())
        return path


def tiny() -> Path:
    """4 -> 4."""
    path = FOLDER / "tiny.onnx"
    if not path.exists():
        graph = Graph()
        graph.dense("x", 4, 4)
        graph.save(path, [4], 4)
    return path


def spinning() -> Path:
    """A graph with an endless loop."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["s", "s"], ["t"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("s", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("t", TensorProto.FLOAT, None),
        ],
    )
    turns = helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0)
    graph = helper.make_graph(
        [
            turns,
            helper.make_node("Cast", ["most"], ["turns"], to=TensorProto.INT64),
            helper.make_node("Loop", ["turns", "", "x"], ["y"], body=body),
        ],
        "spinning",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 4])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = FOLDER / "spinning.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path


def mlp() -> Path:
    """256 -> 1024 -> 1024 -> 10, 5 MB."""
    path = FOLDER / "mlp.onnx"
    if path.exists():
        return path
    graph = Graph()
    x = graph.relu(graph.dense("x", 256, 1024))
    x = graph.relu(graph.dense(x, 1024, 1024))
    graph.dense(x, 1024, 10)
    return graph.save(path, [256], 10)


def clicks(features: int, factors: int = 8) -> Path:
    """A DeepFM: a linear part, products of pairs of features, and a deep part; its output is a logit."""
    path = FOLDER / f"clicks_{features}.onnx"
    if path.exists():
        return path
    graph = Graph()
    factor = graph.weight(features, factors)
    of_sum = graph.add("Mul", *[graph.add("MatMul", "x", factor)] * 2)
    of_squares = graph.add("MatMul", graph.add("Mul", "x", "x"), graph.add("Mul", factor, factor))
    pairs = graph.dense(graph.add("Sub", of_sum, of_squares), factors, 1)
    deep = graph.relu(graph.dense("x", features, 64))
    deep = graph.dense(graph.relu(graph.dense(deep, 64, 32)), 32, 1)
    graph.add("Sum", graph.dense("x", features, 1), pairs, deep)
    return graph.save(path, [features], 1)


def quick_pictures(labels: int = 3) -> Path:
    """A network of pictures that takes less time than decoding one: two coarse convolutions."""
    path = FOLDER / "quick_pictures.onnx"
    if path.exists():
        return path
    graph = Graph()
    x = graph.relu(graph.conv("x", 3, 16, 7, 4))
    x = graph.relu(graph.conv(x, 16, 32, 3, 4))
    graph.dense(graph.add("Flatten", graph.add("GlobalAveragePool", x)), 32, labels)
    return graph.save(path, [3, 224, 224], labels)


def resnet50() -> Path:
    """ResNet-50 as served: batch normalisation folded into the convolutions, 100 MB."""
    path = FOLDER / "resnet50.onnx"
    if path.exists():
        return path
    graph = Graph()
    x = graph.relu(graph.conv("x", 3, 64, 7, 2))
    x = graph.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    channels = 64
    for stage, blocks in enumerate((3, 4, 6, 3)):
        width = 64 << stage
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            shortcut = x if block else graph.conv(x, channels, 4 * width, 1, stride)
            inner = graph.relu(graph.conv(x, channels, width, 1))
            inner = graph.relu(graph.conv(inner, width, width, 3, stride))
            x = graph.relu(graph.add("Add", graph.conv(inner, width, 4 * width, 1), shortcut))
            channels = 4 * width
    x = graph.add("Flatten", graph.add("GlobalAveragePool", x))
    graph.dense(x, 2048, 1000)
    return graph.save(path, [3, 224, 224], 1000)


def text_encoder(labels: int = 3, *, vocabulary: int = 8_000, width: int = 256, layers: int = 4) -> Path:
    """A transformer that reads input_ids and attention_mask, of any length: mean of the tokens, then a score for each label."""
    path = FOLDER / f"text_encoder_{layers}x{width}.onnx"
    if path.exists():
        return path
    graph, heads = Graph(), width // 32
    constants = {
        "shape": [0, 0, heads, width // heads], "joined": [0, 0, width], "one": [1], "axes": [1, 2], "last": [2],
    }  # fmt: skip
    for name, values in constants.items():
        graph.weights.append(numpy_helper.from_array(np.array(values, np.int64), name))
    for name, value in {"scale": 1 / np.sqrt(width / heads), "far": -1e4, "unit": 1.0}.items():
        graph.weights.append(numpy_helper.from_array(np.array(value, np.float32), name))
    x = graph.add("Gather", graph.weight(vocabulary, width), "input_ids")
    mask = graph.add("Cast", "attention_mask", to=TensorProto.FLOAT)
    is_padding = graph.add("Sub", "unit", mask)
    penalty = graph.add("Unsqueeze", graph.add("Mul", is_padding, "far"), "axes")

    def dense(x: str, units: int, columns: int = width) -> str:
        return graph.add("MatMul", x, graph.weight(columns, units))

    def split(x: str, order: list[int]) -> str:
        return graph.add("Transpose", graph.add("Reshape", dense(x, width), "shape"), perm=order)

    def normalized(x: str) -> str:
        return graph.add("LayerNormalization", x, graph.weight(width), axis=-1)

    for _ in range(layers):
        scores = graph.add("MatMul", split(x, [0, 2, 1, 3]), split(x, [0, 2, 3, 1]))
        attention = graph.add(
            "Softmax", graph.add("Add", graph.add("Mul", scores, "scale"), penalty), axis=-1
        )
        mixed = graph.add(
            "Transpose", graph.add("MatMul", attention, split(x, [0, 2, 1, 3])), perm=[0, 2, 1, 3]
        )
        x = normalized(graph.add("Add", x, dense(graph.add("Reshape", mixed, "joined"), width)))
        hidden = graph.relu(dense(x, 4 * width))
        x = normalized(graph.add("Add", x, dense(hidden, width, 4 * width)))
    weights = graph.add("Unsqueeze", mask, "last")
    total = graph.add("ReduceSum", graph.add("Mul", x, weights), "one", keepdims=0)
    graph.dense(graph.add("Div", total, graph.add("ReduceSum", weights, "one", keepdims=0)), width, labels)
    graph.nodes[-1].output[0] = "logits"
    shape = ["rows", "tokens"]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, shape)
        for name in ("input_ids", "attention_mask")
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", labels])]
    made = helper.make_graph(graph.nodes, path.stem, inputs, outputs, graph.weights)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path
