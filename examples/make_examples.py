"""Make the example models. Deterministic: running it again gives the same bytes.

It leaves the two models of pictures alone, which figures.py and shapes.py train: that needs torch, takes long, and gives other
weights on another machine.

Run: python examples/make_examples.py
"""

import numpy as np
from names import make_names
from onnx import TensorProto, helper
from saving import constant, floats, save
from tone import make_tone


def fit_softmax(x, labels, classes, *, steps=3000, rate=0.5):
    """Fit a linear classifier by plain gradient descent."""
    weight, bias = np.zeros((x.shape[1], classes)), np.zeros(classes)
    target = np.eye(classes)[labels]
    for _ in range(steps):
        scores = x @ weight + bias
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        error = scores / scores.sum(axis=1, keepdims=True) - target
        weight -= rate * x.T @ error / len(x)
        bias -= rate * error.mean(axis=0)
    return weight, bias


def make_ripeness():
    """Three kinds of fruit drawn from invented distributions of weight, firmness and hue."""
    random = np.random.default_rng(7)
    centres = np.array([[0.2, 0.8, 0.3], [0.5, 0.5, 0.6], [0.8, 0.2, 0.9]])
    labels = random.integers(0, 3, 600)
    x = centres[labels] + random.normal(0, 0.1, (600, 3))
    weight, bias = fit_softmax(x, labels, 3)
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["features", "weight", "bias"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["probabilities"], axis=-1),
        ],
        "ripeness",
        [floats("features", "rows", 3)],
        [floats("probabilities", "rows", 3)],
        [constant("weight", weight), constant("bias", bias)],
    )
    accuracy = float((np.argmax(x @ weight + bias, axis=1) == labels).mean())
    save(
        "ripeness",
        graph,
        title="Ripeness of fruit",
        notes="Classifies fruit as unripe, ripe or overripe by weight, firmness and hue, each between 0 and 1. "
        f"Fitted on 600 invented rows ({accuracy:.0%} of them right): an example, not knowledge about fruit.",
        sample={"inputs": {"features": [[0.21, 0.79, 0.31], [0.82, 0.18, 0.88]]}},
        task="classification",
        task_config={"labels": ["unripe", "ripe", "overripe"], "scores": "probabilities"},
    )


def make_demand():
    """A small network fitted to an invented curve, with two inputs and two outputs."""
    random = np.random.default_rng(11)
    hidden = 32
    first = random.normal(0, 1.5, (2, hidden))
    shift = random.normal(0, 1, hidden)
    hour, warmth = random.uniform(0, 1, 2000), random.uniform(0, 1, 2000)
    demand = 0.5 + 0.3 * np.sin(2 * np.pi * hour) + 0.2 * warmth
    layer = np.tanh(np.column_stack([hour, warmth]) @ first + shift)
    last, *_ = np.linalg.lstsq(layer.T @ layer + 1e-3 * np.eye(hidden), layer.T @ demand, rcond=None)
    graph = helper.make_graph(
        [
            helper.make_node("Concat", ["hour", "warmth"], ["both"], axis=1),
            helper.make_node("Gemm", ["both", "first", "shift"], ["before"]),
            helper.make_node("Tanh", ["before"], ["layer"]),
            helper.make_node("MatMul", ["layer", "last"], ["demand"]),
            helper.make_node("Greater", ["demand", "limit"], ["is_high"]),
        ],
        "demand",
        [floats("hour", "rows", 1), floats("warmth", "rows", 1)],
        [
            floats("demand", "rows", 1),
            helper.make_tensor_value_info("is_high", TensorProto.BOOL, ["rows", 1]),
        ],
        [
            constant("first", first),
            constant("shift", shift),
            constant("last", last.reshape(hidden, 1)),
            constant("limit", [0.7]),
        ],
    )
    error = float(np.abs(layer @ last - demand).mean())
    save(
        "demand",
        graph,
        title="Hourly demand",
        notes="Share of the daily peak, from hour of the day and warmth, each between 0 and 1, and whether it is high. "
        f"Fitted to an invented curve (mean error {error:.3f}): it shows two inputs and two outputs.",
        needs_approval=True,
        sample={"inputs": {"hour": [[0.25], [0.75]], "warmth": [[0.5], [0.5]]}},
    )


if __name__ == "__main__":
    make_ripeness()
    make_demand()
    make_tone()
    make_names()
