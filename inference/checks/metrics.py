"""Turns answers into predictions, and many predictions and labels into one number, in bounded memory."""

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from inference.tensors.arrays import Array
from inference.tensors.signature import Signature, TensorSpec
from registry.intake.examples.models import MAX_WRONG

_MAX_TEXT_LENGTH, _MAX_VALUES = 200, 20

Wrong = dict[str, Any]


def score_output(signature: Signature, labels: Sequence[str]) -> TensorSpec | None:
    """The first output that can hold a number for each label."""
    return next((spec for spec in signature.outputs if _can_hold(spec, len(labels))), None)


def predicted_label(row: Array, labels: Sequence[str] | None) -> Any:
    """The label with the largest score. Without labels, its index, or the value if there is only one."""
    flat = row.ravel()
    if labels is None and flat.size == 1:
        return flat[0].item() if isinstance(flat[0], np.generic) else flat[0]
    if not flat.size or flat.dtype == object or not np.isfinite(flat.astype(np.float64)).all():
        return None
    best = int(flat.argmax())
    return best if labels is None else labels[best]


def label_name(label: Any, labels: Sequence[str] | None) -> Any:
    """The name of a label that people may also write as an index."""
    is_index = isinstance(label, int) and not isinstance(label, bool)
    return labels[label] if labels is not None and is_index and 0 <= label < len(labels) else label


def labels_of(task_config: Mapping[str, Any]) -> list[str] | None:
    return task_config.get("labels")


def _can_hold(spec: TensorSpec, count: int) -> bool:
    if spec.datatype in {"BYTES", "BOOL"}:
        return False
    return spec.any_rank or (bool(spec.shape) and spec.shape[-1] in {None, count})


class MetricTally(Protocol):
    """A metric over the rows so far."""

    def add(self, row: int, expected: Any, got: Any) -> None: ...

    def value(self) -> float: ...

    def wrong(self) -> list[Wrong]:
        """Some wrong rows: the first or the worst."""


class Accuracy:
    """The fraction of correct answers."""

    def __init__(self) -> None:
        self._right = self._rows = 0
        self._wrong: list[Wrong] = []

    def add(self, row: int, expected: Any, got: Any) -> None:
        self._rows += 1
        if expected == got:
            self._right += 1
        elif len(self._wrong) < MAX_WRONG:
            self._wrong.append({"row": row, "expected": _shorten(expected), "got": _shorten(got)})

    def value(self) -> float:
        return self._right / max(1, self._rows)

    def wrong(self) -> list[Wrong]:
        return self._wrong


class MacroF1(Accuracy):
    """The mean over labels of the harmonic mean of precision and recall. Rare labels count as much as frequent ones."""

    def __init__(self) -> None:
        super().__init__()
        self._expected: Counter[Any] = Counter()
        self._got: Counter[Any] = Counter()
        self._both: Counter[Any] = Counter()

    def add(self, row: int, expected: Any, got: Any) -> None:
        super().add(row, expected, got)
        self._expected[expected] += 1
        self._got[got] += 1
        self._both[expected] += expected == got

    def value(self) -> float:
        labels = self._expected.keys() | self._got.keys()
        scores = [2 * self._both[name] / (self._expected[name] + self._got[name]) for name in labels]
        return sum(scores) / max(1, len(scores))


class MeanError:
    """The mean distance between answer and label. A row's distance is the mean over its values."""

    def __init__(self) -> None:
        self._sum, self._rows = 0.0, 0
        self._worst: list[tuple[float, int, Any, Any]] = []

    def add(self, row: int, expected: Any, got: Any) -> None:
        distance = float(np.abs(np.subtract(got, expected)).mean())
        self._sum, self._rows = self._sum + distance, self._rows + 1
        if not distance:
            return
        entry = (distance, -row, expected[:_MAX_VALUES], got[:_MAX_VALUES])
        if len(self._worst) < MAX_WRONG:
            heapq.heappush(self._worst, entry)
        else:
            heapq.heappushpop(self._worst, entry)

    def value(self) -> float:
        return self._sum / max(1, self._rows)

    def wrong(self) -> list[Wrong]:
        worst = sorted(self._worst, reverse=True)
        return [{"row": -row, "expected": expected, "got": got} for _, row, expected, got in worst]


TALLIES: Mapping[str, type[MetricTally]] = {"accuracy": Accuracy, "f1": MacroF1, "error": MeanError}


def _shorten(value: Any) -> Any:
    return value[:_MAX_TEXT_LENGTH] if isinstance(value, str) else value
