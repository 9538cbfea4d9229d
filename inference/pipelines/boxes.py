"""Boxes from the outputs of object detectors: layouts, non-maximum suppression, and the mapping back to the picture's pixels.

suggestion = suggest_layout(metadata, signature)    # at upload: the configuration that the file proves, and what to ask
found = find_boxes(outputs, layout, placements, size=size, labels=80, rules=BoxRules())    # for each picture, best first

A box is x1, y1, x2, y2. All computing is in FP64, so that no comparison depends on the model's precision.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from inference.pipelines.errors import BadTaskConfig, UnusableOutput
from inference.pipelines.labels import MAX_LABELS
from inference.pipelines.pictures import Placement
from inference.pipelines.pipeline import FieldChoice
from inference.pipelines.scores import Scores, best, softmax
from inference.pipelines.ultralytics import ExportFacts
from inference.tensors.arrays import Array, is_finite
from inference.tensors.signature import Dim, Signature, TensorSpec

Corners = NDArray[np.float64]  # rows of x1, y1, x2, y2
Rows = NDArray[np.intp]
Matches = NDArray[np.bool_]

# The first boxes are few: those that stay suppress most of what follows. Then more and more are compared with what stays,
# and no more than a block of the others with one another.
_FIRST_STEP, _LARGEST_STEP, _LARGEST_BLOCK = 64, 4_096, 512
_FEW = 1 / 16  # of all pairs: up to here, listing those of one class takes less time than looking at all
_LARGEST = 1e100  # of a coordinate: the areas of such boxes are still finite
_TOLERATED_SCORE = 1.01  # quantised models exceed 1 a little
_LOGITS, _PRED_BOXES = "logits", "pred_boxes"  # names of the outputs that Hugging Face's DETR has


class BoxLayout(StrEnum):
    """How a detector's outputs hold its boxes.

    Shapes do not distinguish them: (1, 300, 6) may be yolov10, rtdetr, or rtdetr_scores with two classes.
    """

    YOLOV5 = "yolov5"
    YOLOV8 = "yolov8"
    YOLOV10 = "yolov10"
    RTDETR = "rtdetr"
    RTDETR_SCORES = "rtdetr_scores"
    DETR = "detr"

    @property
    def needs_suppression(self) -> bool:
        """Whether several boxes may be of one object. The other models find each object once."""
        return self in {BoxLayout.YOLOV5, BoxLayout.YOLOV8}

    @classmethod
    def in_words(cls) -> str:
        return "; ".join(f"{layout}: {BOX_LAYOUTS[layout].in_words}" for layout in cls)


BOX_LAYOUTS: Mapping[str, FieldChoice] = {
    BoxLayout.YOLOV5: FieldChoice("YOLOv5 and v7", "centre, size, objectness, a score for each label"),
    BoxLayout.YOLOV8: FieldChoice(
        "YOLOv8, 9, 11 and 12", "centre, size, a score for each label; a column for each box"
    ),
    BoxLayout.YOLOV10: FieldChoice("YOLOv10, YOLO26, and exports with nms=True", "corners, score, label"),
    BoxLayout.RTDETR: FieldChoice(
        "RT-DETR of Ultralytics", "centre, size, score, label; relative to the input"
    ),
    BoxLayout.RTDETR_SCORES: FieldChoice(
        "RT-DETR of Ultralytics until May 2026",
        "centre, size, a score for each label; relative to the input",
    ),
    BoxLayout.DETR: FieldChoice("DETR of Hugging Face", "logits and pred_boxes"),
}


class InputSize(NamedTuple):
    """Of the model's input, in pixels."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class BoxRules:
    """Which boxes are kept."""

    threshold: float = 0.25  # boxes with this score or more, and with this objectness or more
    overlap: float = 0.45  # intersection over union; above it, the better of two boxes of one class stays
    max_boxes: int = 300

    def __post_init__(self) -> None:
        for name, value in (("threshold", self.threshold), ("overlap", self.overlap)):
            if not 0 <= value <= 1:
                raise BadTaskConfig("It must be a number from 0 to 1.", field=name)
        if self.max_boxes < 1:
            raise BadTaskConfig("It must be a whole number, 1 or more.", field="max_boxes")


@dataclass(frozen=True, slots=True)
class Boxes:
    """The boxes of one picture."""

    corners: Corners
    scores: Scores
    classes: Rows

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, rows: slice | Rows | Matches) -> "Boxes":
        return Boxes(self.corners[rows], self.scores[rows], self.classes[rows])


def find_boxes(
    outputs: Sequence[Array],
    layout: BoxLayout,
    placements: Sequence[Placement],
    *,
    size: InputSize,
    labels: int,
    rules: BoxRules,
) -> list[Boxes]:
    """Each picture's boxes in its own pixels, the best first. Raises UnusableOutput.

    Boxes without any area in the picture are dropped: those in the padding, and the empty rows with which some files fill up.
    """
    found = []
    every = read_boxes(outputs, layout, size=size, labels=labels, threshold=rules.threshold)
    for boxes, placement in zip(every, placements, strict=True):
        if layout.needs_suppression:
            boxes = boxes[suppress(boxes, overlap=rules.overlap, most=rules.max_boxes)]
        else:
            boxes = boxes[best(boxes.scores, rules.max_boxes)]
        corners = to_picture(boxes.corners, placement)
        has_area = np.flatnonzero((corners[:, 2:] > corners[:, :2]).all(axis=1))
        found.append(Boxes(corners, boxes.scores, boxes.classes)[has_area])
    return found


def to_picture(corners: Corners, placement: Placement) -> Corners:
    """From the model's pixels to the picture's, clipped to it."""
    return np.clip(placement.to_picture(corners), 0, _twice(placement.width, placement.height))


def _twice(x: float, y: float) -> Corners:
    return np.array([x, y, x, y], np.float64)


def read_boxes(
    outputs: Sequence[Array], layout: BoxLayout, *, size: InputSize, labels: int, threshold: float
) -> list[Boxes]:
    """The boxes of each picture that reach the threshold, in pixels of the model's input and in the file's order.

    Raises UnusableOutput, and BadTaskConfig if the layout does not fit the shapes of the outputs.
    """
    _check_shapes(outputs, layout, labels)
    if not all(is_finite(output) for output in outputs):
        raise UnusableOutput("The model's boxes or scores contain NaN or infinity.")
    with np.errstate(over="ignore"):  # of FP64; what is too large is refused below
        found = [_read_picture(rows, layout, size, threshold) for rows in zip(*outputs, strict=True)]
    for boxes in found:
        _check_values(boxes, labels)
    return found


def _read_picture(rows: Sequence[Array], layout: BoxLayout, size: InputSize, threshold: float) -> Boxes:
    match layout:
        case BoxLayout.YOLOV5:
            return _yolov5(rows[0], threshold)
        case BoxLayout.YOLOV8:
            return _yolov8(rows[0], threshold)
        case BoxLayout.YOLOV10:
            return _final(rows[0], threshold)
        case BoxLayout.RTDETR:
            boxes = _final(rows[0], threshold)
            return Boxes(_in_pixels(boxes.corners, size), boxes.scores, boxes.classes)
        case BoxLayout.RTDETR_SCORES:
            return _scored(_in_pixels(rows[0][:, :4], size), rows[0][:, 4:], threshold)
        case BoxLayout.DETR:
            scores = softmax(rows[0].astype(np.float64))[:, :-1]
            return _scored(_in_pixels(rows[1], size), scores, threshold)


def _yolov5(rows: Array, threshold: float) -> Boxes:
    rows = rows[_reaches(rows[:, 4], threshold)].astype(np.float64)
    return _scored(_to_corners(rows[:, :4]), rows[:, 4:5] * rows[:, 5:], threshold)


def _yolov8(columns: Array, threshold: float) -> Boxes:
    # The greatest of each column first: finding which class it is takes longer, and few columns need it.
    rows = columns[:, _reaches(columns[4:].max(axis=0), threshold)].T
    return _scored(_to_corners(rows[:, :4]), rows[:, 4:], threshold)


def _final(rows: Array, threshold: float) -> Boxes:
    rows = rows[_reaches(rows[:, 4], threshold)].astype(np.float64)
    classes = rows[:, 5].clip(-1, MAX_LABELS).astype(np.intp)
    if (classes != rows[:, 5]).any():
        raise UnusableOutput(
            f"The model gave other numbers where its box layout has classes. {_doubt('box_layout')}"
        )
    return Boxes(rows[:, :4], rows[:, 4], classes)


def _scored(corners: Corners, scores: Array, threshold: float) -> Boxes:
    """Of each row the best class, the first of several equal ones."""
    scores = scores.astype(np.float64)
    classes = scores.argmax(axis=1)
    chosen = scores[np.arange(len(scores)), classes]
    return Boxes(corners, chosen, classes)[chosen >= threshold]


def _reaches(scores: Array, threshold: float) -> Matches:
    """In FP64: numpy would round the threshold to the scores' precision."""
    return np.asarray(scores.astype(np.float64) >= threshold)


def _to_corners(boxes: Array) -> Corners:
    """From centre and size."""
    centres, halves = boxes[:, :2].astype(np.float64), boxes[:, 2:4].astype(np.float64) / 2
    return np.concatenate([centres - halves, centres + halves], axis=1)


def _in_pixels(boxes: Array, size: InputSize) -> Corners:
    """From centre and size, relative to the input's size."""
    return _to_corners(boxes) * _twice(size.width, size.height)


def _axes(layout: BoxLayout, labels: int) -> list[tuple[Dim, ...]]:
    """The shapes of the outputs that a layout reads."""
    match layout:
        case BoxLayout.YOLOV5:
            return [(None, None, 5 + labels)]
        case BoxLayout.YOLOV8:
            return [(None, 4 + labels, None)]
        case BoxLayout.YOLOV10 | BoxLayout.RTDETR:
            return [(None, None, 6)]
        case BoxLayout.RTDETR_SCORES:
            return [(None, None, 4 + labels)]
        case BoxLayout.DETR:
            return [(None, None, labels + 1), (None, None, 4)]


def _fits(shape: Sequence[Dim], axes: Sequence[Dim]) -> bool:
    return len(shape) == len(axes) and all(
        size == wanted or size is None or wanted is None for size, wanted in zip(shape, axes, strict=True)
    )


def _check_shapes(outputs: Sequence[Array], layout: BoxLayout, labels: int) -> None:
    wanted = _axes(layout, labels)
    fits = len(outputs) == len(wanted) and all(
        _fits(output.shape, axes) for output, axes in zip(outputs, wanted, strict=True)
    )
    if not fits or (layout is BoxLayout.DETR and outputs[0].shape[:2] != outputs[1].shape[:2]):
        shown = ", ".join(str(output.shape) for output in outputs)
        raise BadTaskConfig(
            f"BoxLayout {layout} with {labels:,} labels does not fit the model's outputs: {shown}.",
            field="box_layout",
        )


def _check_values(boxes: Boxes, labels: int) -> None:
    """Refuse numbers that no box has. They may be of this picture alone, or show a wrong layout or wrong labels."""
    if not len(boxes):
        return
    if boxes.scores.max() > _TOLERATED_SCORE:
        raise UnusableOutput(
            f"The model's scores reach {boxes.scores.max():.4g}; those of its box layout are at most 1. {_doubt('box_layout')}"
        )
    if not 0 <= boxes.classes.min() <= boxes.classes.max() < labels:
        raise UnusableOutput(
            f"The model found classes {boxes.classes.min()} to {boxes.classes.max()} of {labels:,} labels. {_doubt('labels')}"
        )
    if np.abs(boxes.corners).max() > _LARGEST:
        raise UnusableOutput("The model's boxes are too far away from the picture to be compared.")


def _doubt(field: str) -> str:
    return f"If it is so for other pictures too, `{field}` in the task configuration is wrong."


def find_outputs(
    signature: Signature, layout: BoxLayout, labels: int, *, name: str = ""
) -> tuple[TensorSpec, ...]:
    """The outputs that a layout reads. Raises BadTaskConfig if none fits, or several and none is named."""
    names = [_LOGITS, _PRED_BOXES] if layout is BoxLayout.DETR else [name]
    found = []
    for axes, wanted in zip(_axes(layout, labels), names, strict=True):
        fitting = [
            spec
            for spec in signature.outputs
            if spec.datatype in {"FP16", "FP32", "FP64"}
            and (spec.any_rank or _fits(spec.shape, axes))
            and wanted in {"", spec.name}
        ]
        if len(fitting) != 1:
            shown = ", ".join(f"`{spec.name}` {_shown(spec)}" for spec in signature.outputs)
            raise BadTaskConfig(
                f"BoxLayout {layout} with {labels:,} labels needs one output {_shown_shape(axes)}; the model has {shown}.",
                field="output",
            )
        found.append(fitting[0])
    return tuple(found)


def _shown(spec: TensorSpec) -> str:
    return "of any shape" if spec.any_rank else _shown_shape(spec.shape)


def _shown_shape(shape: Sequence[Dim]) -> str:
    return f"({', '.join('any' if size is None else str(size) for size in shape)})"


def suppress(boxes: Boxes, *, overlap: float, most: int) -> Rows:
    """Non-maximum suppression: the rows that stay, best first. None overlaps a better one of its class that stays.

    Of equal scores, the first row is the better one. Class ids are compared. The usual way is to move each class somewhere
    else and to compare all boxes; it fails for pictures larger than the step, for negative coordinates, and in FP16. There
    is no time limit either, which would leave the rest of a batch without boxes.
    """
    order = best(boxes.scores, len(boxes))
    ordered = _Columns.of(boxes, order)
    kept: Rows = np.empty(0, np.intp)
    start, step = 0, _FIRST_STEP
    while start < len(order) and len(kept) < most:
        end = min(start + step, len(order))
        is_free = np.ones(end - start, np.bool_)
        is_free[_overlaps(ordered.take(kept), ordered.part(start, end), overlap)[1]] = False
        block = start + np.flatnonzero(is_free)
        if len(block) > _LARGEST_BLOCK:
            end, block = block[_LARGEST_BLOCK], block[:_LARGEST_BLOCK]
        kept = np.concatenate([kept, block[_winners(ordered.take(block), overlap)]])
        start, step = end, min(2 * step, _LARGEST_STEP)
    return order[kept[:most]]


class _Columns(NamedTuple):
    """Boxes as numpy compares them fastest."""

    edges: NDArray[np.float64]  # four rows: all x1, all y1, all x2, all y2
    areas: Scores
    classes: Rows

    @classmethod
    def of(cls, boxes: Boxes, rows: Rows) -> "_Columns":
        edges = np.ascontiguousarray(boxes.corners.take(rows, axis=0).T)
        return cls(edges, _areas(edges[:2], edges[2:]), boxes.classes.take(rows))

    def take(self, places: Rows) -> "_Columns":
        return _Columns(self.edges.take(places, axis=1), self.areas.take(places), self.classes.take(places))

    def part(self, start: int, end: int) -> "_Columns":
        return _Columns(self.edges[:, start:end], self.areas[start:end], self.classes[start:end])


def _winners(boxes: _Columns, overlap: float) -> list[int]:
    """The boxes of one block that stay; the block is sorted, best first."""
    count = len(boxes.classes)
    found = np.zeros((count, count), np.bool_)
    found[_overlaps(boxes, boxes, overlap)] = True
    kept, suppressed = [], 0  # a bit for each box
    for place, row in enumerate(np.packbits(found, axis=1, bitorder="little")):
        if not suppressed >> place & 1:
            kept.append(place)
            suppressed |= int.from_bytes(row.tobytes(), "little")
    return kept


def _overlaps(ones: _Columns, others: _Columns, limit: float) -> tuple[Rows, Rows]:
    """Which of `ones` overlap which of `others` by more than the limit, and are of the same class."""
    rows, columns = _candidates(ones, others)
    one, other = ones.edges.take(rows, axis=1), others.edges.take(columns, axis=1)
    common = _areas(np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:]))
    union = ones.areas.take(rows) + others.areas.take(columns) - common
    shares = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    found = shares > limit
    return rows[found], columns[found]


def _candidates(ones: _Columns, others: _Columns) -> tuple[Rows, Rows]:
    """The pairs of one class; if these are many, those of them that touch."""
    sizes = np.bincount(ones.classes, minlength=others.classes.max(initial=0) + 1)
    counts = sizes.take(others.classes)
    total = int(counts.sum())
    if total > len(ones.classes) * len(others.classes) * _FEW:
        return _touching(ones, others)
    columns = np.repeat(np.arange(len(counts)), counts)
    starts = (np.cumsum(sizes) - sizes).take(others.classes) - np.cumsum(counts) + counts
    return np.argsort(ones.classes).take(np.arange(total) + starts.take(columns)), columns


def _touching(ones: _Columns, others: _Columns) -> tuple[Rows, Rows]:
    """The pairs of one class that touch."""
    one, other = ones.edges[:, :, None], others.edges[:, None, :]
    found = ones.classes[:, None] == others.classes
    for axis in (0, 1):
        found &= one[axis] < other[axis + 2]
        found &= other[axis] < one[axis + 2]
    rows, columns = np.nonzero(found)
    return rows, columns


def _areas(begins: NDArray[np.float64], ends: NDArray[np.float64]) -> Scores:
    sides = np.maximum(ends - begins, 0)
    return np.asarray(sides[0] * sides[1])


_RTDETR_HEAD = "RTDETRDecoder"
_YOLO_HEADS = {"Detect", "v10Detect", "WorldDetect", "YOLOEDetect"}


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Fields of a task configuration, and the names of those that a person has to fill in."""

    config: dict[str, Any]
    missing: tuple[str, ...]


def suggest_layout(metadata: Mapping[str, str], signature: Signature) -> Suggestion:
    """The configuration of an Ultralytics file, as far as its metadata and shapes prove it together, and the fields to ask for.

    Neither is enough alone. Shapes look alike, and some metadata contradict their file: `end2end` may be true although the
    file needs suppression, and a file without names gets names for 999 classes.
    """
    facts = ExportFacts.of(metadata, signature)
    outputs = [spec for spec in signature.outputs if len(spec.shape) == 3]
    layout = _proven_layout(facts, outputs[0].shape) if len(outputs) == 1 else None
    fields: dict[str, Any] = {
        "box_layout": None,
        "labels": facts.labels,
        "width": None,
        "height": None,
        "resize": None,
    }
    if layout:
        fields["box_layout"] = str(layout)
        fields["resize"] = "stretch" if layout in {BoxLayout.RTDETR, BoxLayout.RTDETR_SCORES} else "letterbox"
    if facts.size:
        fields["width"], fields["height"] = facts.size
    config = {name: value for name, value in fields.items() if value is not None}
    missing = tuple(name for name in fields if name not in config)
    return Suggestion(config | ({"output": outputs[0].name} if layout else {}), missing)


def _proven_layout(facts: ExportFacts, shape: Sequence[Dim]) -> BoxLayout | None:
    _, second, third = shape
    labels = len(facts.labels) if facts.labels else None
    if second == third:
        return None  # rows and columns look alike
    if facts.is_yolov5:
        return _proven_yolov5(facts, labels, second, third)
    if not facts.is_ultralytics or facts.task != "detect":
        return None
    if facts.head == _RTDETR_HEAD:
        return _proven_rtdetr(facts, labels, third)
    is_yolo = facts.head in _YOLO_HEADS
    if facts.nms or (facts.end2end and is_yolo):
        return BoxLayout.YOLOV10 if third == 6 and (facts.head is None or is_yolo) else None
    if facts.end2end or labels is None or second != 4 + labels or third == 6:
        return None
    is_stated = is_yolo and facts.end2end is False and facts.nms is False
    return BoxLayout.YOLOV8 if is_stated or (facts.head is None and third in facts.anchors) else None


def _proven_yolov5(facts: ExportFacts, labels: int | None, second: Dim, third: Dim) -> BoxLayout | None:
    if labels and third == 5 + labels and second in {3 * count for count in facts.anchors}:
        return BoxLayout.YOLOV5
    return None


def _proven_rtdetr(facts: ExportFacts, labels: int | None, third: Dim) -> BoxLayout | None:
    if facts.nms or labels in {None, 2}:  # with two classes, both layouts have six columns
        return None
    if third == 6:
        return BoxLayout.RTDETR
    return BoxLayout.RTDETR_SCORES if labels and third == 4 + labels else None
