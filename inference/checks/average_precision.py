"""Mean average precision of boxes, as COCO defines it, counted picture by picture.

In each picture, the boxes of a label are taken by confidence, the most confident first. Each gets the box of the set that it
overlaps most, of those that no box before it got. Precision is read at 101 recalls, and averaged over the labels of the set.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inference.checks.errors import NotMeasurable
from inference.pipelines.picture_rows import GoldenBox

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # of the overlap (intersection over union)
RECALLS = np.linspace(0.0, 1.0, 101)
MAX_BOXES_PER_LABEL = 100  # of a picture, the most confident ones: COCO's limit
MAX_FOUND = 10_000_000  # of a set; 10 bytes each

Matches = NDArray[np.bool_]  # per threshold and found box


@dataclass(slots=True)
class _FoundBoxes:
    """The boxes of one label that a version found: how sure it was, and a bit for each threshold at which one is right."""

    confidences: "array[float]" = field(default_factory=lambda: array("d"))
    rights: "array[int]" = field(default_factory=lambda: array("H"))

    def add(self, confidences: Iterable[float], matches: Matches) -> None:
        self.confidences.extend(confidences)
        self.rights.extend((matches.T @ (1 << np.arange(len(matches)))).tolist())


@dataclass(frozen=True, slots=True)
class PictureMistakes:
    """Labels of boxes that were missed, and of found boxes that are not in the set, at the lowest threshold."""

    missed: Sequence[str]
    extra: Sequence[str]


class PrecisionCounter:
    """The boxes of a set so far."""

    def __init__(self, thresholds: NDArray[np.float64]) -> None:
        self._thresholds = thresholds
        self._expected: Counter[str] = Counter()
        self._found: defaultdict[str, _FoundBoxes] = defaultdict(_FoundBoxes)
        self._boxes_held = 0

    def add(self, expected: Sequence[GoldenBox], got: Sequence[GoldenBox]) -> PictureMistakes:
        """Count a picture."""
        missed: list[str] = []
        extra: list[str] = []
        for label in sorted({box.label for box in (*expected, *got)}):
            right = [box for box in expected if box.label == label]
            found = sorted((box for box in got if box.label == label), key=lambda box: -box.confidence)
            found = found[:MAX_BOXES_PER_LABEL]
            matches = match_boxes(right, found, self._thresholds)
            self._expected[label] += len(right)
            if found:
                self._hold(len(found))
                self._found[label].add((box.confidence for box in found), matches)
            matched = int(matches[0].sum())
            missed += [label] * (len(right) - matched)
            extra += [label] * (len(found) - matched)
        return PictureMistakes(missed, extra)

    def _hold(self, boxes: int) -> None:
        self._boxes_held += boxes
        if self._boxes_held > MAX_FOUND:
            raise NotMeasurable(
                "too_many_boxes",
                f"finds more than {MAX_FOUND:,} boxes in",
                "Raise `threshold` in its task configuration, or add a smaller golden set.",
            )

    def value(self) -> float:
        """1 if there is nothing to find and nothing was found."""
        labels = [label for label, count in self._expected.items() if count]
        if not labels:
            return 0.0 if self._boxes_held else 1.0
        return float(np.mean([self._average_precisions(label) for label in labels]))

    def _average_precisions(self, label: str) -> NDArray[np.float64]:
        """Of one label, at each threshold."""
        found = self._found[label]
        order = np.argsort(-np.array(found.confidences, np.float64), kind="stable")
        rights = np.array(found.rights, np.uint16)[order]
        return np.array([
            average_precision(rights >> bit & 1, self._expected[label]) for bit in range(len(self._thresholds))
        ])  # fmt: skip


def match_boxes(
    expected: Sequence[GoldenBox], found: Sequence[GoldenBox], thresholds: NDArray[np.float64]
) -> Matches:
    """Which found boxes, the most confident first, get a box of the set."""
    matches = np.zeros((len(thresholds), len(found)), np.bool_)
    if not expected:
        return matches
    overlaps = _overlaps(found, expected)
    is_free = np.ones((len(thresholds), len(expected)), np.bool_)
    every = np.arange(len(thresholds))
    last = len(expected) - 1
    for number, overlap in enumerate(overlaps):
        candidates = np.where(is_free & (overlap >= thresholds[:, None]), overlap, -1.0)
        best = last - candidates[:, ::-1].argmax(axis=1)  # the last one of equals, as COCO's own code does
        matches[:, number] = candidates[every, best] >= 0
        is_free[every, best] &= ~matches[:, number]
    return matches


def _overlaps(found: Sequence[GoldenBox], expected: Sequence[GoldenBox]) -> NDArray[np.float64]:
    """Intersection over union of each pair."""
    left = np.array([box.corners for box in found], np.float64).reshape(-1, 1, 4)
    right = np.array([box.corners for box in expected], np.float64).reshape(1, -1, 4)
    sides = np.minimum(left[..., 2:], right[..., 2:]) - np.maximum(left[..., :2], right[..., :2])
    shared = sides.clip(0).prod(axis=-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).clip(0).prod(axis=-1) for boxes in (left, right)]
    together = areas[0] + areas[1] - shared
    overlaps: NDArray[np.float64] = np.divide(shared, together, out=np.zeros_like(shared), where=together > 0)
    return overlaps


def average_precision(rights: NDArray[np.integer], expected: int) -> float:
    """From found boxes in order of confidence (1: right), and how many there are to find."""
    right = np.cumsum(rights)
    precisions = right / np.arange(1, len(rights) + 1)
    best_from_here = np.maximum.accumulate(precisions[::-1])[::-1]
    places = np.searchsorted(right / expected, RECALLS, side="left")
    return float(np.append(best_from_here, 0.0)[places].mean())
