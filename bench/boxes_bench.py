"""Suppression of boxes against the plain loop, and what a batch costs: `python -m bench.boxes_bench [--repeats 5]`."""

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from inference.pipelines.boxes import (  # noqa: E402
    Boxes,
    BoxLayout,
    BoxRules,
    InputSize,
    find_boxes,
    suppress,
)
from inference.pipelines.pictures import Placement  # noqa: E402

MARK = 20  # times faster
OVERLAP, MOST = 0.45, 300
SIZE = InputSize(640, 640)


def iou(one: list[float], other: list[float]) -> float:
    width = max(min(one[2], other[2]) - max(one[0], other[0]), 0.0)
    height = max(min(one[3], other[3]) - max(one[1], other[1]), 0.0)
    areas = [max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0) for box in (one, other)]
    union = areas[0] + areas[1] - width * height
    return width * height / union if union > 0 else 0.0


def naive(corners: list, scores: list, classes: list) -> list[int]:
    """The definition as it is written: each box against each better one that stays."""
    kept: list[int] = []
    for row in sorted(range(len(scores)), key=lambda row: (-scores[row], row)):
        if all(
            classes[row] != classes[better] or iou(corners[row], corners[better]) <= OVERLAP
            for better in kept
        ):
            kept.append(row)
    return kept[:MOST]


def careful(corners: list, scores: list, classes: list) -> list[int]:
    """A loop by someone who counts: no calls, and it stops when there are enough."""
    kept: list[int] = []
    for row in sorted(range(len(scores)), key=lambda row: (-scores[row], row)):
        x1, y1, x2, y2 = corners[row]
        for better in kept:
            if classes[better] != classes[row]:
                continue
            a1, b1, a2, b2 = corners[better]
            common = max(min(x2, a2) - max(x1, a1), 0.0) * max(min(y2, b2) - max(y1, b1), 0.0)
            union = (x2 - x1) * (y2 - y1) + (a2 - a1) * (b2 - b1) - common
            if union > 0 and common / union > OVERLAP:
                break
        else:
            kept.append(row)
            if len(kept) == MOST:
                break
    return kept


def some_boxes(chance: np.random.Generator, count: int, *, objects: int, labels: int) -> Boxes:
    """As detectors give them: many boxes around each object."""
    starts, sides = chance.uniform(0, 600, (objects, 2)), chance.uniform(15, 150, (objects, 2))
    whole = np.concatenate([starts, starts + sides], axis=1)
    which = chance.integers(0, objects, count)
    corners = whole[which] + chance.normal(0, 0.06, (count, 4)) * np.tile(sides, 2)[which]
    corners[:, 2:] = np.maximum(corners[:, 2:], corners[:, :2])
    return Boxes(corners, chance.random(count), (which % labels).astype(np.intp))


def seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    chance = np.random.default_rng(5)
    print(
        "boxes  objects  labels  kept   naive, ms  careful, ms  ours, ms   times the naive loop, and the careful one"
    )
    for count, objects, labels in (
        (20, 5, 3), (100, 10, 5), (300, 20, 80), (1000, 50, 80), (1000, 50, 1), (3000, 100, 80),
        (3000, 100, 1), (8400, 100, 1), (8400, 30, 80), (8400, 100, 80), (8400, 300, 80), (25_200, 300, 80),
        (25_200, 300, 1000),
    ):  # fmt: skip
        boxes = some_boxes(chance, count, objects=objects, labels=labels)
        lists = boxes.corners.tolist(), boxes.scores.tolist(), boxes.classes.tolist()
        kept = suppress(boxes, overlap=OVERLAP, most=MOST).tolist()
        assert kept == naive(*lists) == careful(*lists)
        runs = (
            partial(naive, *lists),
            partial(careful, *lists),
            partial(suppress, boxes, overlap=OVERLAP, most=MOST),
        )
        turns = [[seconds(run) * 1e3 for run in runs] for _ in range(repeats)]
        one, other, ours = (median(times) for times in zip(*turns, strict=True))
        print(
            f"{count:>6}  {objects:>6}  {labels:>6}  {len(kept):>4}  {one:>10.2f}  {other:>11.2f}  {ours:>8.2f}"
            f"  {one / ours:>7.1f}  {other / ours:>7.1f}",
            flush=True,
        )
    print(f"mark: >= {MARK} x the naive loop, for 8,400 boxes of 80 labels")

    columns = chance.random((8, 84, 8400), np.float32)
    columns[:, :4] *= 600
    columns[:, 4:] **= 200  # a few boxes in a hundred reach the threshold
    places = [Placement(1, 1, 0, 0, *SIZE)] * 8
    took = median(
        seconds(
            lambda: find_boxes([columns], BoxLayout.YOLOV8, places, size=SIZE, labels=80, rules=BoxRules())
        )
        for _ in range(repeats)
    )
    print(f"find_boxes, yolov8, 8 pictures of 8,400 boxes and 80 labels: {took / 8 * 1e3:.2f} ms a picture")


if __name__ == "__main__":
    main()
