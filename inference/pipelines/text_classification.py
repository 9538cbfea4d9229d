"""Labels for texts, with scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inference.pipelines.labels import Label, LabelOutput
from inference.pipelines.pipeline import Config, Encoded, Fields, Files, Pipeline, item_list
from inference.pipelines.texts import MAX_TEXTS, TextInputs
from inference.tensors.arrays import Tensors
from inference.tensors.signature import Signature


@dataclass(frozen=True, slots=True)
class TextLabels:
    """A text's labels, the best first, and how many of its tokens the model read."""

    labels: Sequence[Label]
    tokens_given: int
    tokens_used: int


@dataclass(frozen=True, slots=True)
class TextsAsked:
    tokens: Sequence[tuple[int, int]]  # given and used, of each text
    top_k: int


class TextClassification(Pipeline[TextsAsked]):
    task = "text-classification"

    def __init__(self, config: Config, files: Files, signature: Signature) -> None:
        fields = Fields(config)
        self._labels = LabelOutput(fields, signature)
        self._texts = TextInputs(fields, files, signature, may_use_windows=False)
        fields.end()

    @property
    def _hashed(self) -> Sequence[Any]:
        return [self._texts.hashed, *self._labels.hashed]

    def example(self) -> dict[str, Any]:
        return {"text": "The train was on time, and the coffee was good."}

    def encode(self, body: Mapping[str, Any]) -> Encoded[TextsAsked]:
        texts = item_list(body, "text", "texts", most=MAX_TEXTS)
        top_k = self._labels.read_top_k(body)
        tokenized = self._texts.tokenize(texts)
        asked = TextsAsked([(text.given, text.used) for text in tokenized], top_k)
        return Encoded(self._texts.rows(tokenized), asked)

    def prepare(self, tensors: Tensors) -> Tensors:
        return self._texts.prepare(tensors)

    def decode(self, outputs: Tensors, encoded: Encoded[TextsAsked]) -> list[TextLabels]:
        labels = self._labels.best(outputs, encoded.context.top_k)
        return [
            TextLabels(of_text, given, used)
            for of_text, (given, used) in zip(labels, encoded.context.tokens, strict=True)
        ]
