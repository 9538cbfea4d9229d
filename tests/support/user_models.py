"""Small models that score items, candidates and rows of columns, whose answers can be told from what they are asked."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from registry.catalogue import artifacts
from registry.catalogue.models import Version
from tests.support.live_models import put_live
from tests.support.onnx_models import save, value

USERS, FOODS = ["ann", "ben", "5"], ["tea", "jam", "egg", "ham", "fig"]
FOOD_SCORES = [[1, 5, 3, 3, 2], [0, 0, 0, 0, 9], [5, 4, 3, 2, 1]]
LABELS = {"labels": ["no", "yes"]}
MISSING = {"defaults": {"age": None, "city": "Bern"}}
_ML = "ai.onnx.ml"


def put_foods(folder: Path, slug: str = "foods", scores=FOOD_SCORES, **config) -> Version:
    """A live Model that recommends foods to users, by a table of scores."""
    path = save(
        folder / f"{slug}.onnx",
        [helper.make_node("Gather", ["table", "user"], ["scores"])],
        [value("user", ("users",), TensorProto.INT64)],
        [value("scores", ("users", len(FOODS)))],
        [_floats("table", scores)],
    )
    files = {"users.txt": USERS, "items.txt": FOODS}
    stored = {name: artifacts.store(["\n".join(ids).encode()]).sha256 for name, ids in files.items()}
    return put_live(slug, path, task="recommendation", task_config=config, task_files=stored)


def put_offers(folder: Path, slug: str = "offers", **config) -> Version:
    """A live Model that ranks offers: 4 for the topic that a user likes, less the price."""
    nodes = [
        _codes("likes", "liked"),
        _codes("topic", "offered"),
        helper.make_node("Equal", ["liked", "offered"], ["is_liked"]),
        helper.make_node("Cast", ["is_liked"], ["one_if_liked"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["one_if_liked", "four"], ["worth"]),
        helper.make_node("Sub", ["worth", "price"], ["logit"]),
    ]
    shape = ("rows", 1)
    texts = [value(name, shape, TensorProto.STRING) for name in ("likes", "topic")]
    inputs = [*texts, value("price", shape)]
    path = save(folder / f"{slug}.onnx", nodes, inputs, [value("logit", shape)], [_floats("four", 4)])
    return put_live(slug, path, task="ranking", task_config=config)


def put_people(folder: Path, slug: str = "people", **config) -> Version:
    """A live Model of rows: yes with a hundredth of the age, 0.75 without one, and 0.125 more in Lugano."""
    nodes = [
        helper.make_node("IsNaN", ["age"], ["is_missing"]),
        helper.make_node("Mul", ["age", "hundredth"], ["share"]),
        helper.make_node("Where", ["is_missing", "usual", "share"], ["of_age"]),
        helper.make_node(
            "LabelEncoder", ["city"], ["more"], domain=_ML,
            keys_strings=["Lugano"], values_floats=[0.125], default_float=0.0,
        ),
        helper.make_node("Add", ["of_age", "more"], ["yes"]),
        helper.make_node("Sub", ["one", "yes"], ["no"]),
        helper.make_node("Concat", ["no", "yes"], ["probabilities"], axis=1),
    ]  # fmt: skip
    path = save(
        folder / f"{slug}.onnx",
        nodes,
        [value("age", ("rows", 1)), value("city", ("rows", 1), TensorProto.STRING)],
        [value("probabilities", ("rows", 2))],
        [_floats("hundredth", 0.01), _floats("usual", 0.75), _floats("one", 1)],
    )
    return put_live(slug, path, task="tabular-classification", task_config={**LABELS, **config})


def put_bills(folder: Path, slug: str = "bills", **config) -> Version:
    """A live Model that adds up the columns `food`, `drinks` and `tip`."""
    path = save(
        folder / f"{slug}.onnx",
        [helper.make_node("ReduceSum", ["features", "columns"], ["sum"], keepdims=1)],
        [value("features", ("rows", 3))],
        [value("sum", ("rows", 1))],
        [numpy_helper.from_array(np.array([1]), "columns")],
    )
    config = {"columns": ["food", "drinks", "tip"], "defaults": {"tip": 0.5}, **config}
    return put_live(slug, path, task="tabular-regression", task_config=config)


def _codes(text, code):
    return helper.make_node(
        "LabelEncoder", [text], [code], domain=_ML, keys_strings=["art", "sport"], values_int64s=[1, 2], default_int64=0
    )  # fmt: skip


def _floats(name, numbers):
    return numpy_helper.from_array(np.array(numbers, np.float32), name)
