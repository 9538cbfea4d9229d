"""The models that every server serves, a row for each, and the expected numbers."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from bench import models


@dataclass(frozen=True, eq=False)
class Workload:
    """`name` is the Model's name as well; `row` is a batch of one."""

    name: str
    title: str
    path: Path
    row: np.ndarray
    expected: np.ndarray


def all_of_them() -> list[Workload]:
    return [
        _workload("tiny", "tiny MLP (10 -> 2)", _tiny(), (10,)),
        _workload("wide", "256-float MLP (256 -> 1024 -> 1024 -> 10)", models.mlp(), (256,)),
        _workload("image", "3x224x224, small convolution", _image(), (3, 224, 224)),
    ]


def tiny() -> Workload:
    return _workload("tiny", "tiny MLP (10 -> 2)", _tiny(), (10,))


def _workload(name: str, title: str, path: Path, shape: tuple[int, ...]) -> Workload:
    # Three decimals, as clients send, so that JSON is not longer than necessary.
    row = np.random.default_rng(7).random((1, *shape)).round(3).astype(np.float32)
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return Workload(name, title, path, row, session.run(None, {"x": row})[0])


def _tiny() -> Path:
    graph = models.Graph()
    graph.dense(graph.relu(graph.dense("x", 10, 16)), 16, 2)
    return _saved(graph, "tiny", [10], 2)


def _image() -> Path:
    graph = models.Graph()
    x = graph.relu(graph.conv("x", 3, 8, 7, stride=8))
    graph.dense(graph.add("Flatten", graph.add("GlobalAveragePool", x)), 8, 10)
    return _saved(graph, "image", [3, 224, 224], 10)


def _saved(graph: models.Graph, name: str, shape: list[int], columns: int) -> Path:
    path = models.FOLDER / f"serving-{name}.onnx"
    return path if path.exists() else graph.save(path, shape, columns)
