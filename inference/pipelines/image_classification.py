"""Labels for pictures, with scores."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from inference.pipelines.hugging_face import read_id2label, read_picture_fields
from inference.pipelines.labels import Label, LabelFields, LabelOutput
from inference.pipelines.pictures import (
    MAX_PICTURES,
    Picture,
    PictureDefaults,
    PictureFields,
    PictureInputs,
    Resize,
)
from inference.pipelines.pipeline import (
    Config,
    Encoded,
    Fields,
    Files,
    FilesBeside,
    ItemPipeline,
    RowGroup,
    RowOutputs,
    item_list,
)
from inference.pipelines.ultralytics import ExportFacts
from inference.tensors.arrays import Tensors
from inference.tensors.signature import Signature, TensorSpec

_IMAGENET = PictureDefaults(Resize.SHORTER_SIDE, 224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
_MOST_USUAL_LABELS = 5  # of an answer, unless configured


@dataclass(frozen=True, slots=True)
class PictureLabels:
    """A picture's labels, the best first; its size after its EXIF turn; how many frames it has (the first one was read)."""

    labels: Sequence[Label]
    width: int
    height: int
    frames: int


@dataclass(frozen=True, slots=True)
class PicturesAsked:
    pictures: Sequence[Picture]
    top_k: int


class ImageClassification(ItemPipeline[PicturesAsked]):
    task = "image-classification"
    title = "labels for pictures"
    asked = ("labels",)
    one, several, options = "image", "images", ("top_k",)
    most_items = MAX_PICTURES

    def __init__(self, config: Config, files: Files, signature: Signature) -> None:
        fields = PictureFields(config)
        self._output = LabelOutput(LabelFields(fields, usual_top_k=_MOST_USUAL_LABELS), signature)
        self._pictures = PictureInputs(fields, signature, _IMAGENET)
        fields.end()
        self.labels, self.model_outputs = self._output.labels, (self._output.name,)
        super().__init__(config, files, signature)

    @classmethod
    def check_config(cls, config: Config, files: Collection[str]) -> None:
        LabelFields(Fields(config), usual_top_k=_MOST_USUAL_LABELS)

    @classmethod
    def prefill(cls, beside: FilesBeside) -> dict[str, Any]:
        """The files beside the model count more than its metadata."""
        found = _of_ultralytics(beside) if cls.is_stated(beside) else {}
        found |= read_picture_fields(beside.files)
        if labels := read_id2label(beside.files):
            found["labels"] = labels
        return found

    @classmethod
    def is_stated(cls, beside: FilesBeside) -> bool:
        facts = ExportFacts.of(beside.metadata, beside.signature)
        return facts.is_ultralytics and facts.task == "classify"

    @classmethod
    def items_of(cls, config: Config) -> Signature:
        return Signature(
            (TensorSpec("image", "BYTES", (None,)),),
            (TensorSpec("label", "BYTES", (None,)), TensorSpec("confidence", "FP64", (None,))),
        )

    @property
    def _hashed(self) -> Sequence[Any]:
        return [self._pictures.hashed, *self._output.hashed]

    @classmethod
    def example(cls) -> dict[str, Any]:
        """A grey picture: enough to see that the model answers."""
        file = BytesIO()
        Image.new("RGB", (64, 48), (128, 128, 128)).save(file, "PNG")
        return {"image": file.getvalue()}

    def encode(self, body: Mapping[str, Any]) -> Encoded[PicturesAsked]:
        items = item_list(body, "image", "images", most=self._pictures.max_pictures)
        top_k = self._output.read_top_k(body)
        rows, pictures = self._pictures.encode(items, field="image" if "image" in body else "images")
        return Encoded([RowGroup(rows, range(len(pictures)))], PicturesAsked(pictures, top_k))

    def prepare(self, tensors: Tensors) -> Tensors:
        return self._pictures.prepare(tensors)

    def decode(self, rows: Sequence[RowOutputs], encoded: Encoded[PicturesAsked]) -> list[PictureLabels]:
        return [
            PictureLabels(
                self._output.best(scores, encoded.context.top_k),
                picture.placement.width,
                picture.placement.height,
                picture.frames,
            )
            for scores, picture in zip(self._output.scores(rows), encoded.context.pictures, strict=True)
        ]

    def body_of(self, tensors: Tensors) -> dict[str, Any]:
        return {"images": tensors["image"].tolist()}

    def tensors_of(self, answers: Sequence[PictureLabels]) -> Tensors:
        best = [answer.labels[0] for answer in answers]
        return {
            "label": np.array([one.label for one in best], object),
            "confidence": np.array([one.score for one in best]),
        }


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
