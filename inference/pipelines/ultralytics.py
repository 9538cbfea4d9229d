"""What the packages `ultralytics` and `yolov5` write into the metadata of the ONNX files that they export."""

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from inference.pipelines.labels import LONGEST_LABEL, MAX_LABELS
from inference.tensors.signature import Dim, Signature

_MADE_UP = [f"class{number}" for number in range(999)]  # the exporter's names for a model that has none
_STRIDES = ((8, 16, 32), (4, 8, 16, 32), (8, 16, 32, 64))
_LONG_VALUE, _SHORT_VALUE = 256 * 1024, 4 * 1024  # characters; parsing one may take 500 bytes
_MOST_PIXELS = 16_384  # of a side


def is_for(task: str, metadata: Mapping[str, str]) -> bool:
    """Whether the file says that it was exported by the package `ultralytics` for this task, in its words."""
    return metadata.get("author") == "Ultralytics" and metadata.get("task") == task


@dataclass(frozen=True, slots=True)
class ExportFacts:
    """What the metadata say; None for what is missing or has another form."""

    is_ultralytics: bool  # exported by the package `ultralytics`
    is_yolov5: bool  # exported by the repository `yolov5`, which writes two fields
    task: str | None
    head: str | None
    end2end: bool | None
    nms: bool | None
    stride: int | None
    labels: list[str] | None
    size: tuple[int, int] | None  # of the input: width, height

    @classmethod
    def of(cls, metadata: Mapping[str, str], signature: Signature) -> "ExportFacts":
        end2end = _literal(metadata.get("end2end"), _SHORT_VALUE)
        stride = _literal(metadata.get("stride"), _SHORT_VALUE)
        args = _literal(metadata.get("args"), _SHORT_VALUE)
        nms = args.get("nms") if isinstance(args, dict) else None
        return cls(
            is_ultralytics=metadata.get("author") == "Ultralytics",
            is_yolov5=set(metadata) == {"stride", "names"},
            task=metadata.get("task"),
            head=metadata.get("head"),
            end2end=end2end if isinstance(end2end, bool) else None,
            nms=nms if isinstance(nms, bool) else None,
            stride=stride if type(stride) is int else None,
            labels=_labels(_literal(metadata.get("names"), _LONG_VALUE)),
            size=_size(_literal(metadata.get("imgsz"), _SHORT_VALUE), signature),
        )

    @property
    def anchors(self) -> set[int]:
        """How many boxes a YOLO may have: one for each cell of its three or four grids."""
        if self.size is None:
            return set()
        width, height = self.size
        return {
            sum(width // step * (height // step) for step in strides)
            for strides in _STRIDES
            if self.stride in {None, strides[-1]} and width % strides[-1] == height % strides[-1] == 0
        }


def _literal(text: str | None, longest: int) -> object:
    """A value that was written with `str()`; None if it cannot be read."""
    if text is None or len(text) > longest:
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def _labels(names: object) -> list[str] | None:
    """The labels in `{0: 'person', 1: 'bicycle'}`, or in a list."""
    if isinstance(names, dict):
        if not all(type(key) is int for key in names) or sorted(names) != list(range(len(names))):
            return None
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not 0 < len(names) <= MAX_LABELS:
        return None
    if names == _MADE_UP or not all(
        isinstance(name, str) and 0 < len(name) <= LONGEST_LABEL for name in names
    ):
        return None
    return names


def _size(imgsz: object, signature: Signature) -> tuple[int, int] | None:
    """The input's size, from the signature or, for free axes, from the metadata; None if the two contradict each other."""
    if len(signature.required_inputs) != 1:
        return None
    shape = signature.required_inputs[0].shape
    if len(shape) != 4 or (shape[1] == 3) == (shape[3] == 3):
        return None
    sides: Iterable[Dim] = shape[2:] if shape[1] == 3 else shape[1:3]
    values = imgsz if isinstance(imgsz, list | tuple) and len(imgsz) == 2 else (None, None)
    chosen = [declared or value for declared, value in zip(sides, values, strict=True)]
    if not all(type(side) is int and 0 < side <= _MOST_PIXELS for side in chosen):
        return None
    if any(value is not None and value != side for value, side in zip(values, chosen, strict=True)):
        return None
    return chosen[1], chosen[0]
