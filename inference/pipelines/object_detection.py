"""Objects in pictures: labels with boxes."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import orjson

from inference.pipelines.boxes import (
    BOX_LAYOUTS,
    Boxes,
    BoxLayout,
    BoxRules,
    InputSize,
    find_boxes,
    find_outputs,
    suggest_layout,
)
from inference.pipelines.errors import BadTaskConfig, InvalidItem, UnusableOutput
from inference.pipelines.hugging_face import read_id2label
from inference.pipelines.labels import read_labels
from inference.pipelines.picture_rows import BOX_ROWS
from inference.pipelines.picture_task import ANY_PICTURES, PictureTask, for_any_pictures
from inference.pipelines.pictures import (
    RESIZES,
    Picture,
    PictureDefaults,
    PictureFields,
    PictureInputs,
    Resize,
)
from inference.pipelines.pipeline import Config, Encoded, Fields, Files, FilesBeside, RowOutputs
from inference.pipelines.ultralytics import is_for
from inference.tensors.arrays import Array, Tensors
from inference.tensors.signature import Signature, TensorSpec

_USUAL = PictureDefaults(Resize.LETTERBOX, 640)
_MOST_BOXES = 10_000
_MOST_OUTPUT_BYTES = 128 << 20  # of the model, for the pictures of a request


@dataclass(frozen=True, slots=True)
class Box:
    """The corners of a box in the picture's own pixels, after its EXIF turn."""

    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True, slots=True)
class FoundObject:
    label: str
    confidence: float
    box: Box


@dataclass(frozen=True, slots=True)
class PictureObjects:
    """The objects of a picture, best first; its size after its EXIF turn; how many frames it has (the first one was read).

    The best one is also told by itself, for callers who want one object as they want one label; null where there is none.
    """

    label: str | None
    confidence: float | None
    box: Box | None
    objects: Sequence[FoundObject]
    width: int
    height: int
    frames: int


@dataclass(frozen=True, slots=True)
class BoxesAsked:
    pictures: Sequence[Picture]
    rules: BoxRules


class _BoxFields:
    """What a task configuration says about boxes."""

    def __init__(self, fields: Fields) -> None:
        self.labels = read_labels(fields)
        layout = fields.choice("box_layout", ["", *BoxLayout], "")
        if not layout:
            raise BadTaskConfig(
                f"Say how the model's outputs hold its boxes; their shape does not tell. {BoxLayout.in_words()}.",
                field="box_layout",
            )
        self.layout = BoxLayout(layout)
        self.output = fields.text("output")
        usual = BoxRules()
        self.rules = BoxRules(
            fields.share("threshold", usual.threshold),
            fields.share("overlap", usual.overlap),
            fields.number("max_boxes", usual.max_boxes, least=1, most=_MOST_BOXES),
        )


def _read(config: Config, signature: Signature) -> tuple[_BoxFields, PictureInputs]:
    fields = PictureFields(config)
    said = _BoxFields(fields), PictureInputs(fields, signature, _USUAL)
    fields.end()
    return said


def _answer(objects: Sequence[FoundObject], picture: Picture) -> PictureObjects:
    best = objects[0] if objects else None
    label, confidence, box = (best.label, best.confidence, best.box) if best else (None, None, None)
    size = picture.placement
    return PictureObjects(label, confidence, box, objects, size.width, size.height, picture.frames)


def _row_bytes(spec: TensorSpec) -> int:
    """Of an output, for one picture; sizes that the file leaves open count as one."""
    return prod(size or 1 for size in spec.shape[1:]) * spec.dtype.itemsize


class ObjectDetection(PictureTask[BoxesAsked]):
    task = "object-detection"
    title = "objects in pictures, with boxes"
    asked = ("labels", "box_layout", "width", "height", "resize")
    choices = {"box_layout": BOX_LAYOUTS, "resize": RESIZES}
    golden = BOX_ROWS
    options = {"threshold": float}
    is_slow_to_decode = True

    def __init__(self, config: Config, files: Files, signature: Signature) -> None:
        self._said, pictures = _read(config, signature)
        said = self._said
        outputs = find_outputs(signature, said.layout, len(said.labels), name=said.output)
        self.labels, self.threshold = said.labels, said.rules.threshold
        self.model_outputs = tuple(spec.name for spec in outputs)
        super().__init__(config, files, signature, pictures)
        self.most_items = max(
            1, min(self.most_items, _MOST_OUTPUT_BYTES // max(1, sum(map(_row_bytes, outputs))))
        )

    @classmethod
    def check_config(cls, config: Config, files: Collection[str]) -> None:
        _read(for_any_pictures(config), ANY_PICTURES)

    @classmethod
    def prefill(cls, beside: FilesBeside) -> dict[str, Any]:
        found = suggest_layout(beside.metadata, beside.signature).config
        labels = read_id2label(beside.files)
        return found | {"labels": labels} if labels and len(set(labels)) == len(labels) else found

    @classmethod
    def is_stated(cls, beside: FilesBeside) -> bool:
        return is_for("detect", beside.metadata)

    @classmethod
    def items_of(cls, config: Config, signature: Signature) -> Signature:
        return cls.items_with(
            TensorSpec("objects", "BYTES", (None,)),
            TensorSpec("width", "INT32", (None,)),
            TensorSpec("height", "INT32", (None,)),
            json_outputs=frozenset({"objects"}),
        )

    @property
    def _hashed(self) -> Sequence[Any]:
        said = self._said
        rules = [said.rules.threshold, said.rules.overlap, said.rules.max_boxes]
        return [self.pictures.hashed, said.labels, said.layout, self.model_outputs, rules]

    def encode(self, body: Mapping[str, Any]) -> Encoded[BoxesAsked]:
        rules = self._rules(body)
        rows, pictures = self.read_pictures(body)
        return Encoded([rows], BoxesAsked(pictures, rules))

    def _rules(self, body: Mapping[str, Any]) -> BoxRules:
        rules = self._said.rules
        threshold = body.get("threshold", rules.threshold)
        if not isinstance(threshold, int | float) or isinstance(threshold, bool) or not 0 <= threshold <= 1:
            raise InvalidItem("`threshold` must be a number from 0 to 1.", field="threshold")
        return BoxRules(float(threshold), rules.overlap, rules.max_boxes)

    def decode(self, rows: Sequence[RowOutputs], encoded: Encoded[BoxesAsked]) -> list[PictureObjects]:
        found = find_boxes(
            [self._stacked(rows, name) for name in self.model_outputs or ()],
            self._said.layout,
            [picture.placement for picture in encoded.context.pictures],
            size=InputSize(self.pictures.geometry.width, self.pictures.geometry.height),
            labels=len(self.labels),
            rules=encoded.context.rules,
        )
        return [
            _answer(self._objects(boxes), picture)
            for boxes, picture in zip(found, encoded.context.pictures, strict=True)
        ]

    def _stacked(self, rows: Sequence[RowOutputs], name: str) -> Array:
        outputs = [row.get(name) for row in rows]
        if any(output is None or output.dtype.kind != "f" for output in outputs):
            raise UnusableOutput(f"The model did not give numbers in its output {name!r}.")
        if len({output.shape for output in outputs if output is not None}) != 1:
            raise UnusableOutput(
                f"The model's output {name!r} has different shapes for the pictures of a request."
            )
        return np.stack([output for output in outputs if output is not None])

    def _objects(self, boxes: Boxes) -> list[FoundObject]:
        return [
            FoundObject(self.labels[kind], score, Box(*corners))
            for kind, score, corners in zip(
                boxes.classes.tolist(), boxes.scores.tolist(), boxes.corners.round(2).tolist(), strict=True
            )
        ]

    def tensors_of(self, answers: Sequence[PictureObjects]) -> Tensors:
        return {
            "objects": np.array([orjson.dumps(answer.objects).decode() for answer in answers], object),
            "width": np.array([answer.width for answer in answers], np.int32),
            "height": np.array([answer.height for answer in answers], np.int32),
        }
