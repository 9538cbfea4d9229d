"""Labels for pictures, with scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from PIL import Image

from inference.pipelines.errors import BadTaskConfig, InvalidItem
from inference.pipelines.pictures import (
    Picture,
    PictureDefaults,
    PictureFields,
    PictureInputs,
    Resize,
)
from inference.pipelines.pipeline import Config, Encoded, Files, Pipeline, item_list
from inference.pipelines.scores import LONGEST_LABEL, MAX_LABELS, Label, ScoreFunction, best_labels
from inference.pipelines.texts import check_outputs_fit, find_scores
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
        self.labels = fields.texts("labels", most=MAX_LABELS, longest=LONGEST_LABEL)
        if not self.labels:
            raise BadTaskConfig("Name the labels, in the order of the model's output.", field="labels")
        self._pictures = PictureInputs(fields, signature, _IMAGENET)
        self._output = find_scores(signature, len(self.labels), rank=2, name=fields.text("output")).name
        usual = ScoreFunction.SOFTMAX if len(self.labels) > 1 else ScoreFunction.SIGMOID
        self._function = ScoreFunction(fields.choice("function", list(ScoreFunction), usual))
        most = len(self.labels)
        self._top_k = fields.number("top_k", min(most, _MOST_USUAL_LABELS), least=1, most=most)
        fields.end()

    @property
    def _hashed(self) -> Sequence[Any]:
        return [self._pictures.hashed, self.labels, self._output, self._function]

    def example(self) -> dict[str, Any]:
        """A grey picture: enough to see that the model answers."""
        file = BytesIO()
        Image.new("RGB", (64, 48), (128, 128, 128)).save(file, "PNG")
        return {"image": file.getvalue()}

    def encode(self, body: Mapping[str, Any]) -> Encoded[PicturesAsked]:
        items = item_list(body, "image", "images", most=self._pictures.max_pictures)
        top_k = body.get("top_k", self._top_k)
        if not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1:
            raise InvalidItem("`top_k` must be a whole number, 1 or more.", field="top_k")
        rows, pictures = self._pictures.encode(items, field="image" if "image" in body else "images")
        return Encoded(rows, PicturesAsked(pictures, min(top_k, len(self.labels))))

    def prepare(self, tensors: Tensors) -> Tensors:
        return self._pictures.prepare(tensors)

    def decode(self, outputs: Tensors, encoded: Encoded[PicturesAsked]) -> list[PictureLabels]:
        check_outputs_fit(outputs, self._output, len(self.labels))
        scores = self._function(outputs[self._output])
        return [
            PictureLabels(
                best_labels(self.labels, row, encoded.context.top_k),
                picture.placement.width,
                picture.placement.height,
                picture.frames,
            )
            for row, picture in zip(scores, encoded.context.pictures, strict=True)
        ]
