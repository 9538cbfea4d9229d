"""Labels for pictures, with scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from PIL import Image

from inference.pipelines.labels import Label, LabelOutput
from inference.pipelines.pictures import (
    Picture,
    PictureDefaults,
    PictureFields,
    PictureInputs,
    Resize,
)
from inference.pipelines.pipeline import Config, Encoded, Files, Pipeline, item_list
from inference.tensors.arrays import Tensors
from inference.tensors.signature import Signature

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


class ImageClassification(Pipeline[PicturesAsked]):
    task = "image-classification"

    def __init__(self, config: Config, files: Files, signature: Signature) -> None:
        fields = PictureFields(config)
        self._labels = LabelOutput(fields, signature, usual_top_k=_MOST_USUAL_LABELS)
        self._pictures = PictureInputs(fields, signature, _IMAGENET)
        fields.end()

    @property
    def _hashed(self) -> Sequence[Any]:
        return [self._pictures.hashed, *self._labels.hashed]

    def example(self) -> dict[str, Any]:
        """A grey picture: enough to see that the model answers."""
        file = BytesIO()
        Image.new("RGB", (64, 48), (128, 128, 128)).save(file, "PNG")
        return {"image": file.getvalue()}

    def encode(self, body: Mapping[str, Any]) -> Encoded[PicturesAsked]:
        items = item_list(body, "image", "images", most=self._pictures.max_pictures)
        top_k = self._labels.read_top_k(body)
        rows, pictures = self._pictures.encode(items, field="image" if "image" in body else "images")
        return Encoded(rows, PicturesAsked(pictures, top_k))

    def prepare(self, tensors: Tensors) -> Tensors:
        return self._pictures.prepare(tensors)

    def decode(self, outputs: Tensors, encoded: Encoded[PicturesAsked]) -> list[PictureLabels]:
        labels = self._labels.best(outputs, encoded.context.top_k)
        return [
            PictureLabels(of_picture, picture.placement.width, picture.placement.height, picture.frames)
            for of_picture, picture in zip(labels, encoded.context.pictures, strict=True)
        ]
