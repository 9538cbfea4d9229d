"""A classifier that works, and six ways of bringing it in wrong that any file check lets pass."""

import json
from pathlib import Path

import numpy as np
from onnx import helper, numpy_helper

from inference.engine.backends import SessionOptions
from registry.catalogue import artifacts
from registry.catalogue import services as catalogue
from registry.intake.examples.services import add_examples, put_golden_set
from tests.support.factories import a_model, an_actor
from tests.support.live_models import import_live
from tests.support.onnx_models import value

LABELS = ["unripe", "ripe", "overripe"]
OPTIONS = SessionOptions()
MEAN = np.array([3.0, -1.0, 0.5, 2.0], np.float32)
STD = np.array([0.4, 2.0, 0.1, 5.0], np.float32)
WEIGHT = np.random.default_rng(3).normal(0, 6, (4, 3)).astype(np.float32)
_SHAPES = {"square": [-1, 2, 2], "row": [-1, 4]}


def write(path: Path, *, mean=MEAN, std=STD, weight=WEIGHT, opset=13, transposed=False) -> Path:
    """Normalise, weigh pairs of values against each other, score three classes."""
    order = [0, 2, 1] if transposed else [0, 1, 2]
    nodes = [
        helper.make_node("Sub", ["x", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "std"], ["normal"]),
        helper.make_node("Reshape", ["normal", "square"], ["pairs"]),
        helper.make_node("Transpose", ["pairs"], ["turned"], perm=order),
        # Until opset 12 this runs over all axes from the second on, from 13 on over the last one.
        helper.make_node("Softmax", ["turned"], ["weighed"]),
        helper.make_node("Reshape", ["weighed", "row"], ["features"]),
        helper.make_node("MatMul", ["features", "weight"], ["scores"]),
    ]
    weights = {"mean": mean, "std": std, "weight": weight}
    weights |= {name: np.array(shape, np.int64) for name, shape in _SHAPES.items()}
    graph = helper.make_graph(
        nodes,
        "fruit",
        [value("x", ("rows", 4))],
        [value("scores", ("rows", 3))],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


WRONG = {
    "swapped labels": {"labels": ["ripe", "unripe", "overripe"]},
    "wrong mean": {"mean": np.zeros(4, np.float32)},
    "wrong std": {"std": np.ones(4, np.float32)},
    "rounded weights": {"weight": np.round(WEIGHT)},
    "transposed input": {"transposed": True},
    "other opset": {"opset": 12},
}


def some_rows(count=60) -> np.ndarray:
    return (np.random.default_rng(5).normal(0, 1, (count, 4)) * STD + MEAN).astype(np.float32)


def scores_of(rows) -> np.ndarray:
    """What the training code gives; written for numpy, so that no runtime is compared with itself."""
    pairs = ((rows - MEAN) / STD).reshape(-1, 2, 2)
    weighed = np.exp(pairs - pairs.max(axis=-1, keepdims=True))
    weighed /= weighed.sum(axis=-1, keepdims=True)
    return weighed.reshape(-1, 4) @ WEIGHT


def examples(count=3) -> list[dict]:
    rows = some_rows(count)
    return [{"inputs": {"x": rows.tolist()}, "expected": {"scores": scores_of(rows).tolist()}}]


def golden_lines(count=60, *, wrong=0) -> list[bytes]:
    """Rows with the right labels, the first few with another one."""
    rows = some_rows(count)
    right = scores_of(rows).argmax(axis=1)
    labels = [LABELS[(best + (number < wrong)) % 3] for number, best in enumerate(right)]
    return [
        json.dumps({"inputs": {"x": row.tolist()}, "label": label}).encode()
        for row, label in zip(rows, labels, strict=True)
    ]


def fruit_model(slug="fruit"):
    return a_model(slug, task="classification")


def put_golden(model, lines, *, metric="accuracy", floor=0.9, margin=None):
    return put_golden_set(
        model=model, lines=lines, metric=metric, floor=floor, margin=margin, reason="because", by=an_actor()
    )


def bring_in(path: Path, model, *, labels=LABELS, with_examples=(), **more):
    """Store and register a file as an upload does; nothing has checked it yet."""
    with path.open("rb") as source:
        file = artifacts.store(artifacts.read_chunks(source))
    config = {"labels": labels, "scores": "logits"} if labels else {}
    version = catalogue.register_version(model=model, file=file, task_config=config, by=an_actor(), **more)
    if with_examples:
        add_examples(version=version, examples=with_examples, by=an_actor())
    return version


def bring_in_right(folder: Path, model=None, **more):
    return bring_in(write(folder / "right.onnx"), model or fruit_model(), **more)


def bring_in_wrong(folder: Path, model, how: str, **more):
    changes = dict(WRONG[how])
    labels = changes.pop("labels", LABELS)
    return bring_in(write(folder / "wrong.onnx", **changes), model, labels=labels, **more)


def go_live(folder: Path, slug="fruit"):
    """A Model with a good version that answers."""
    return import_live(
        slug=slug,
        path=write(folder / "good.onnx"),
        options=OPTIONS,
        task="classification",
        task_config={"labels": LABELS, "scores": "logits"},
    )
