"""Turns answers into predictions, and many predictions and labels into one number, in bounded memory."""

import heapq
from abc import ABC, abstractmethod
from array import array
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from inference.checks.average_precision import THRESHOLDS, PrecisionCounter
from inference.checks.errors import NotMeasurable, RowUnfit
from inference.checks.score_measures import auc, log_loss, ndcg
from inference.pipelines.golden import ClassScores, Gains, GoldenRanking, GoldenSpan, RightClasses
from inference.pipelines.picture_rows import GoldenBox
from inference.tensors.arrays import Array
from registry.intake.examples.models import MAX_WRONG, Metric

MAX_SCORES = 5_000_000  # of a set, for AUC; 150 MB while they are sorted
_MAX_TEXT_LENGTH, _MAX_VALUES = 200, 20
_SUM_TOLERANCE = 1e-3  # models compute in FP16 too
_BINARY = 2

Wrong = dict[str, Any]


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


class MetricTally(Protocol):
    """A metric over the rows so far."""

    def add(self, row: int, expected: Any, got: Any, *, text: str = "") -> None:
        """`text` is what was asked, for those who look at wrong rows. Raises RowUnfit or NotMeasurable."""

    def value(self) -> float:
        """Raises NotMeasurable."""

    def wrong(self) -> list[Wrong]:
        """Some wrong rows: the first or the worst."""


class Accuracy:
    """The fraction of correct answers."""

    def __init__(self) -> None:
        self._right = self._rows = 0
        self._wrong: list[Wrong] = []

    def add(self, row: int, expected: Any, got: Any, *, text: str = "") -> None:
        self._rows += 1
        if expected == got:
            self._right += 1
        elif len(self._wrong) < MAX_WRONG:
            self._wrong.append(_wrong(row, expected, got, text))

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

    def add(self, row: int, expected: Any, got: Any, *, text: str = "") -> None:
        super().add(row, expected, got, text=text)
        self._expected[expected] += 1
        self._got[got] += 1
        self._both[expected] += expected == got

    def value(self) -> float:
        labels = self._expected.keys() | self._got.keys()
        scores = [2 * self._both[name] / (self._expected[name] + self._got[name]) for name in labels]
        return sum(scores) / max(1, len(scores))


class SpanF1:
    """The harmonic mean of precision and recall over all entities: one is right if its label and both places are."""

    def __init__(self) -> None:
        self._expected = self._got = self._both = 0
        self._wrong: list[Wrong] = []

    def add(
        self, row: int, expected: Sequence[GoldenSpan], got: Sequence[GoldenSpan], *, text: str = ""
    ) -> None:
        right = len(set(expected) & set(got))
        self._expected, self._got = self._expected + len(expected), self._got + len(got)
        self._both += right
        if (right < len(expected) or right < len(got)) and len(self._wrong) < MAX_WRONG:
            self._wrong.append(_wrong(row, _shown(expected), _shown(got), text))

    def value(self) -> float:
        """1 if there is nothing to find and nothing was found."""
        total = self._expected + self._got
        return 2 * self._both / total if total else 1.0

    def wrong(self) -> list[Wrong]:
        return self._wrong


class MeanPrecision50:
    """The mean average precision of boxes that overlap by half. A picture is wrong if boxes are missed or added."""

    thresholds = THRESHOLDS[:1]

    def __init__(self) -> None:
        self._counter = PrecisionCounter(self.thresholds)
        self._wrong: list[Wrong] = []

    def add(
        self, row: int, expected: Sequence[GoldenBox], got: Sequence[GoldenBox], *, text: str = ""
    ) -> None:
        mistakes = self._counter.add(expected, got)
        if (mistakes.missed or mistakes.extra) and len(self._wrong) < MAX_WRONG:
            lists = {"missed": mistakes.missed, "not in the set": mistakes.extra}
            found = _counted(box.label for box in got)
            parts = [found, *(f"{name}: {_counted(labels)}" for name, labels in lists.items() if labels)]
            self._wrong.append(_wrong(row, _counted(box.label for box in expected), "; ".join(parts), text))

    def value(self) -> float:
        return self._counter.value()

    def wrong(self) -> list[Wrong]:
        return self._wrong


class MeanPrecision(MeanPrecision50):
    """The mean of it for overlaps from .50 to .95."""

    thresholds = THRESHOLDS


class MeanError:
    """The mean distance between answer and label. A row's distance is the mean over its values."""

    def __init__(self) -> None:
        self._sum, self._rows = 0.0, 0
        self._worst: list[tuple[float, int, str, Any, Any]] = []

    def add(self, row: int, expected: Any, got: Any, *, text: str = "") -> None:
        if len(got) != len(expected):
            numbers = f"{len(expected)} number{'' if len(expected) == 1 else 's'}"
            raise RowUnfit(f"has a label of {numbers}, but the version gives {len(got)}")
        distance = float(np.abs(np.subtract(got, expected)).mean())
        self._sum, self._rows = self._sum + distance, self._rows + 1
        if not distance:
            return
        entry = (distance, -row, text, expected[:_MAX_VALUES], got[:_MAX_VALUES])
        if len(self._worst) < MAX_WRONG:
            heapq.heappush(self._worst, entry)
        else:
            heapq.heappushpop(self._worst, entry)

    def value(self) -> float:
        return self._sum / max(1, self._rows)

    def wrong(self) -> list[Wrong]:
        worst = sorted(self._worst, reverse=True)
        return [_wrong(-row, expected, got, text) for _, row, text, expected, got in worst]


class WrongByBadness:
    """The first wrong rows, the worst of them first."""

    def __init__(self) -> None:
        self._wrong: list[tuple[float, Wrong]] = []

    def _keep(self, badness: float, wrong: Wrong) -> None:
        if len(self._wrong) < MAX_WRONG:
            self._wrong.append((badness, wrong))

    def wrong(self) -> list[Wrong]:
        return [wrong for _, wrong in sorted(self._wrong, key=lambda one: -one[0])]


class MeanNDCG(WrongByBadness):
    """The mean over rows of the NDCG of their rankings, at the length of the answers. A row is wrong below 1."""

    def __init__(self) -> None:
        super().__init__()
        self._sum, self._rows = 0.0, 0

    def add(self, row: int, expected: Gains, got: GoldenRanking, *, text: str = "") -> None:
        value = ndcg(expected.by_key, got.keys, got.scores)
        self._sum, self._rows = self._sum + value, self._rows + 1
        if value < 1 - 1e-9 and any(expected.by_key.values()):
            self._keep(1 - value, _wrong(row, expected.in_words, f"NDCG {value:.2f}: {got.in_words}", text))

    def value(self) -> float:
        return self._sum / max(1, self._rows)


class ScoredClasses(WrongByBadness, ABC):
    """A metric of the scores of classes. A row is wrong if something wrong has a score as high as something right."""

    def add(self, row: int, expected: RightClasses, got: ClassScores, *, text: str = "") -> None:
        right: list[float] = []
        wrong: list[float] = []
        for name, scores in zip(expected.classes, got.scores, strict=True):
            if name not in scores and len(scores) > 1:
                raise RowUnfit(f"has the label {name!r}, which the version does not have")
            self._count(name, scores)
            for other, score in scores.items():
                (right if other == name else wrong).append(score)
        if right and wrong and min(right) <= max(wrong):
            badness = max(wrong) - min(right)
            self._keep(badness, _wrong(row, expected.in_words, got.in_words, text))

    @abstractmethod
    def _count(self, right: Hashable, scores: Mapping[Any, float]) -> None:
        """One thing of a row. If there are scores of one class only, `right` may be something else."""


class AreaUnderCurve(ScoredClasses):
    """ROC AUC. Of more than two classes it is the mean over those that the set has, each against the rest.

    All scores are held, so that it is exact.
    """

    def __init__(self) -> None:
        super().__init__()
        self._scores: defaultdict[Any, array[float]] = defaultdict(lambda: array("d"))
        self._right = array("i")  # the number of each right class
        self._numbers: dict[Any, int] = {}
        self._held = 0

    def _count(self, right: Hashable, scores: Mapping[Any, float]) -> None:
        self._held += len(scores)
        if self._held > MAX_SCORES:
            raise NotMeasurable(
                "too_many_scores",
                f"gives more than {MAX_SCORES:,} scores for its golden set",
                "AUC holds all of them: add a smaller golden set, or one with another metric.",
            )
        self._right.append(self._numbers.setdefault(right, len(self._numbers)))
        for name, score in scores.items():
            self._scores[name].append(score)

    def value(self) -> float:
        right = np.array(self._right)
        names = sorted(self._scores)
        if len(names) == _BINARY:
            del names[0]  # the other one has the same, as its scores are the rest to 1
        areas = [
            auc(np.frombuffer(self._scores[name]), are_right)
            for name in names
            if 0 < (are_right := right == self._numbers.get(name, -1)).sum() < len(right)
        ]
        if not areas:
            raise NotMeasurable(
                "one_class",
                "has no AUC: everything in its golden set has the same label, or none of its labels",
                "AUC compares the scores of right and wrong answers: add rows of both kinds, or choose another metric.",
            )
        return float(np.mean(areas))


class LogLoss(ScoredClasses):
    """The mean negative logarithm of the probability of what is right."""

    def __init__(self) -> None:
        super().__init__()
        self._sum, self._counted = 0.0, 0

    def _count(self, right: Hashable, scores: Mapping[Any, float]) -> None:
        lowest, total = min(scores.values()), sum(scores.values())
        adds_up = abs(total - 1) <= _SUM_TOLERANCE if len(scores) > 1 else total <= 1
        if lowest < 0 or not adds_up:
            raise NotMeasurable(
                "no_probabilities",
                "has scores that are not probabilities: each must be from 0 to 1, and those of several labels add up to 1",
                "Choose the `function` of its task configuration that makes probabilities, or another metric.",
            )
        self._sum += log_loss(scores[right] if right in scores else 1 - total)
        self._counted += 1

    def value(self) -> float:
        return self._sum / max(1, self._counted)


TALLIES: Mapping[str, type[MetricTally]] = {
    Metric.ACCURACY: Accuracy,
    Metric.F1: MacroF1,
    Metric.ERROR: MeanError,
    Metric.SPAN_F1: SpanF1,
    Metric.MAP50: MeanPrecision50,
    Metric.MAP: MeanPrecision,
    Metric.NDCG: MeanNDCG,
    Metric.AUC: AreaUnderCurve,
    Metric.LOG_LOSS: LogLoss,
}


def _wrong(row: int, expected: Any, got: Any, text: str) -> Wrong:
    asked = {"text": _shorten(text)} if text else {}
    return {"row": row, **asked, "expected": _shorten(expected), "got": _shorten(got)}


def _shown(spans: Sequence[GoldenSpan]) -> list[dict[str, Any]]:
    return [span._asdict() for span in spans[:_MAX_VALUES]]


def _counted(labels: Iterable[str]) -> str:
    """Labels in words, such as "2 car, 1 person"."""
    return ", ".join(f"{count:,} {label}" for label, count in sorted(Counter(labels).items())) or "nothing"


def _shorten(value: Any) -> Any:
    return value[:_MAX_TEXT_LENGTH] if isinstance(value, str) else value
