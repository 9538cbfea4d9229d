"""Labels for pictures, with scores."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inference.pipelines.hugging_face import read_function, read_id2label, read_picture_fields
from inference.pipelines.labels import Label, LabelFields, LabelOutput, label_specs, label_tensors
from inference.pipelines.picture_rows import PICTURE_LABEL_ROWS
from inference.pipelines.picture_task import ANY_PICTURES, PictureTask, for_any_pictures
from inference.pipelines.pictures import (
    RESIZES,
    Picture,
    PictureDefaults,
    PictureFields,
    PictureInputs,
    Resize,
)
from inference.pipelines.pipeline import Config, Encoded, Files, FilesBeside, RowOutputs
from inference.pipelines.ultralytics import ExportFacts, is_for
from inference.tensors.arrays import Tensors
from inference.tensors.signature import Signature

_IMAGENET = PictureDefaults(Resize.SHORTER_SIDE, 224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
_MOST_USUAL_LABELS = 5  # of an answer, unless configured


@dataclass(frozen=True, slots=True)
class PictureLabels:
    """A picture's best label and how sure the model is of it; its labels, best first; its size after its EXIF turn; how
    many frames it has (the first one was read)."""

    label: str
    confidence: float
    labels: Sequence[Label]
    width: int
    height: int
    frames: int


@dataclass(frozen=True, slots=True)
class PicturesAsked:
    pictures: Sequence[Picture]
    top_k: int


def _read(config: Config, signature: Signature) -> tuple[LabelFields, PictureInputs]:
    fields = PictureFields(config)
    said = LabelFields(fields, usual_top_k=_MOST_USUAL_LABELS), PictureInputs(fields, signature, _IMAGENET)
    fields.end()
    return said


class ImageClassification(PictureTask[PicturesAsked]):
    task = "image-classification"
    title = "labels for pictures"
    asked = ("labels",)
    choices = {"resize": RESIZES}
    golden = PICTURE_LABEL_ROWS
    options = {"top_k": int}

    def __init__(self, config: Config, files: Files, signature: Signature) -> None:
        labels, pictures = _read(config, signature)
        self._output = LabelOutput(labels, signature)
        self.labels, self.function = labels.labels, labels.function
        self.model_outputs = (self._output.name,)
        super().__init__(config, files, signature, pictures)

    @classmethod
    def check_config(cls, config: Config, files: Collection[str]) -> None:
        _read(for_any_pictures(config), ANY_PICTURES)

    @classmethod
    def prefill(cls, beside: FilesBeside) -> dict[str, Any]:
        """The files beside the model count more than its metadata."""
        found = _of_ultralytics(beside) if cls.is_stated(beside) else {}
        found |= read_picture_fields(beside.files)
        if labels := read_id2label(beside.files):
            found["labels"] = labels
        if function := read_function(beside.files):
            found["function"] = function
        return found

    @classmethod
    def is_stated(cls, beside: FilesBeside) -> bool:
        return is_for("classify", beside.metadata)

    @classmethod
    def items_of(cls, config: Config, signature: Signature) -> Signature:
        return cls.items_with(*label_specs(len(config["labels"])))

    @property
    def _hashed(self) -> Sequence[Any]:
        return [self.pictures.hashed, *self._output.hashed]

    def encode(self, body: Mapping[str, Any]) -> Encoded[PicturesAsked]:
        top_k = self._output.read_top_k(body)
        rows, pictures = self.read_pictures(body)
        return Encoded([rows], PicturesAsked(pictures, top_k))

    def decode(self, rows: Sequence[RowOutputs], encoded: Encoded[PicturesAsked]) -> list[PictureLabels]:
        found = []
        for scores, picture in zip(self._output.scores(rows), encoded.context.pictures, strict=True):
            labels = self._output.best(scores, encoded.context.top_k)
            best, place = labels[0], picture.placement
            found.append(
                PictureLabels(best.label, best.score, labels, place.width, place.height, picture.frames)
            )
        return found

    def body_of(self, tensors: Tensors) -> dict[str, Any]:
        return {**super().body_of(tensors), "top_k": len(self.labels)}  # `scores` has each label

    def tensors_of(self, answers: Sequence[PictureLabels]) -> Tensors:
        return label_tensors(answers, self.labels)


def _of_ultralytics(beside: FilesBeside) -> dict[str, Any]:
    """The exporter puts the softmax into the file, and pictures are only cut and divided by 255."""
    facts = ExportFacts.of(beside.metadata, beside.signature)
    found: dict[str, Any] = {"function": "none", "scale": "1/255", "mean": [0, 0, 0], "std": [1, 1, 1]}
    if facts.labels:
        found["labels"] = facts.labels
    if facts.size and facts.size[0] == facts.size[1]:
        found |= dict(zip(("width", "height"), facts.size, strict=True))
        found |= {"resize": "shorter_side", "shorter_side": facts.size[0]}
    return found
