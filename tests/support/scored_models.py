"""Small models that recommend, rank, and read tables, whose answers people can work out, and versions of them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from registry.catalogue import artifacts
from registry.catalogue import services as catalogue
from registry.catalogue.models import Model, Version
from tests.support.factories import a_model, an_actor
from tests.support.live_models import put_live
from tests.support.onnx_models import save, value

USERS, ITEMS = ["ann", "ben", "cleo"], ["tea", "jam", "egg", "ham", "fig"]
LIKINGS = np.array([[1, 5, 4, 3, 2], [5, 1, 2, 3, 4], [2, 3, 1, 5, 4]], np.float32)
ID_FILES = {name: "\n".join(ids).encode() for name, ids in (("users.txt", USERS), ("items.txt", ITEMS))}
CLICK_COLUMNS = {"columns": ["age", "price"]}
YES_OR_NO = {"columns": ["age", "children"], "labels": ["no", "yes"], "output": "scores"}
RENT = {"columns": ["rooms", "floor"]}


def write_recommender(path: Path, likings=LIKINGS) -> Path:
    """Each user's own likings."""
    return save(
        path,
        [helper.make_node("Gather", ["likings", "user"], ["scores"])],
        [value("user", ("rows",), TensorProto.INT64)],
        [value("scores", ("rows", likings.shape[1]))],
        [numpy_helper.from_array(likings, "likings")],
    )


def write_ranker(path: Path, price=-1.0) -> Path:
    """A click is likelier the lower the price is; the user's age adds nothing."""
    return _weighed(path, np.array([[0], [price]]), "logit")


def write_table(path: Path, age=0.1) -> Path:
    """The logit of yes is a tenth of the age above 30."""
    return _weighed(
        path, np.array([[0, age], [0, 0]]), "logits", bias=np.array([0, -30 * age]), scores="scores"
    )


def write_rent(path: Path, room=500) -> Path:
    """So much for each room, and 10 for each floor."""
    return _weighed(path, np.array([[room], [10]]), "rent")


def _weighed(path: Path, weights, output: str, *, bias=0.0, scores: str = "") -> Path:
    nodes = [
        helper.make_node("MatMul", ["features", "weights"], ["weighed"]),
        helper.make_node("Add", ["weighed", "bias"], [output]),
    ]
    if scores:
        nodes.append(helper.make_node("Softmax", [output], [scores], axis=-1))
    constants = {"weights": weights, "bias": bias}
    return save(
        path,
        nodes,
        [value("features", ("rows", weights.shape[0]))],
        [value(scores or output, ("rows", weights.shape[1]))],
        [numpy_helper.from_array(np.array(array, np.float32), name) for name, array in constants.items()],
    )


def a_version(
    path: Path, task: str, config: Mapping[str, object], *, model: Model | None = None, files=None
) -> Version:
    """Stored and registered as an upload does; nothing has checked it yet."""
    with path.open("rb") as source:
        file = artifacts.store(artifacts.read_chunks(source))
    return catalogue.register_version(
        model=model or a_model(task=task),
        file=file,
        task_config=dict(config),
        task_files={name: artifacts.store([content]).sha256 for name, content in (files or {}).items()},
        by=an_actor(),
    )


def put_recommender(folder: Path, likings=LIKINGS, **config) -> Version:
    """A version that answers, without a check; it is live if it is the first."""
    path = write_recommender(folder / "recommender.onnx", likings)
    files = {name: artifacts.store([content]).sha256 for name, content in ID_FILES.items()}
    return put_live("movies", path, task="recommendation", task_config=config, task_files=files)


def put_ranker(folder: Path, price=-1.0, **config) -> Version:
    path = write_ranker(folder / "ranker.onnx", price)
    return put_live("offers", path, task="ranking", task_config=CLICK_COLUMNS | config)


def put_table_classifier(folder: Path, age=0.1, **config) -> Version:
    path = write_table(folder / "table.onnx", age)
    return put_live("adults", path, task="tabular-classification", task_config=YES_OR_NO | config)


def put_rent_model(folder: Path, room=500, **config) -> Version:
    path = write_rent(folder / "rent.onnx", room)
    return put_live("rents", path, task="tabular-regression", task_config=RENT | config)


def a_recommender(folder: Path, model: Model | None = None, *, likings=LIKINGS, **config) -> Version:
    path = write_recommender(folder / "recommender.onnx", likings)
    return a_version(path, "recommendation", config, model=model, files=ID_FILES)


def a_ranker(folder: Path, model: Model | None = None, *, price=-1.0, **config) -> Version:
    path = write_ranker(folder / "ranker.onnx", price)
    return a_version(path, "ranking", CLICK_COLUMNS | config, model=model)


def a_table_classifier(folder: Path, model: Model | None = None, *, age=0.1, **config) -> Version:
    path = write_table(folder / "table.onnx", age)
    return a_version(path, "tabular-classification", YES_OR_NO | config, model=model)


def a_rent_model(folder: Path, model: Model | None = None, **config) -> Version:
    return a_version(write_rent(folder / "rent.onnx"), "tabular-regression", RENT | config, model=model)
