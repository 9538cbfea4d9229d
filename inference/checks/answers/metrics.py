"""Makes one number of many answers and their labels, row by row, in bounded memory."""

import heapq
from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from registry.intake.examples.models import MAX_WRONG

_LONGEST_TEXT, _MOST_VALUES = 200, 20

Wrong = dict[str, Any]


class Tally(Protocol):
    """What is known after the rows so far."""

    def add(self, row: int, expected: Any, got: Any) -> None: ...

    def value(self) -> float: ...

    def wrong(self) -> list[Wrong]:
        """Some of the rows that went wrong, the first or the worst of them."""


class Accuracy:
    """The share of right answers."""

    def __init__(self) -> None:
        self._right = self._rows = 0
        self._wrong: list[Wrong] = []

    def add(self, row: int, expected: Any, got: Any) -> None:
        self._rows += 1
        if expected == got:
            self._right += 1
        elif len(self._wrong) < MAX_WRONG:
            self._wrong.append({"row": row, "expected": _short(expected), "got": _short(got)})

    def value(self) -> float:
        return self._right / max(1, self._rows)

    def wrong(self) -> list[Wrong]:
        return self._wrong


class MacroF1(Accuracy):
    """The mean over labels of the harmonic mean of precision and recall; rare labels count as much as frequent."""

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
        seen = self._expected.keys() | self._got.keys()
        scores = [2 * self._both[name] / (self._expected[name] + self._got[name]) for name in seen]
        return sum(scores) / max(1, len(scores))


class MeanError:
    """The mean distance between answer and label; a row's distance is the mean over its values."""

    def __init__(self) -> None:
        self._sum, self._rows = 0.0, 0
        self._worst: list[tuple[float, int, Any, Any]] = []

    def add(self, row: int, expected: Any, got: Any) -> None:
        distance = float(np.abs(np.subtract(got, expected)).mean())
        self._sum, self._rows = self._sum + distance, self._rows + 1
        if not distance:
            return
        one = (distance, -row, expected[:_MOST_VALUES], got[:_MOST_VALUES])
        if len(self._worst) < MAX_WRONG:
            heapq.heappush(self._worst, one)
        else:
            heapq.heappushpop(self._worst, one)

    def value(self) -> float:
        return self._sum / max(1, self._rows)

    def wrong(self) -> list[Wrong]:
        worst = sorted(self._worst, reverse=True)
        return [{"row": -row, "expected": expected, "got": got} for _, row, expected, got in worst]


TALLIES: Mapping[str, type[Tally]] = {"accuracy": Accuracy, "f1": MacroF1, "error": MeanError}


def _short(value: Any) -> Any:
    return value[:_LONGEST_TEXT] if isinstance(value, str) else value
