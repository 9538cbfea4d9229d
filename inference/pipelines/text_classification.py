"""Labels for texts, with scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inference.pipelines.errors import InvalidItem
from inference.pipelines.pipeline import Config, Encoded, Fields, Files, Pipeline, item_list
from inference.pipelines.scores import LONGEST_LABEL, MAX_LABELS, Label, ScoreFunction, best_labels
from inference.pipelines.texts import MAX_TEXTS, TextInputs, check_outputs_fit, find_scores
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
        self.labels = fields.texts("labels", most=MAX_LABELS, longest=LONGEST_LABEL)
        self._texts = TextInputs(fields, files, signature, may_use_windows=False)
        self._output = find_scores(signature, len(self.labels), rank=2, name=fields.text("output")).name
        usual = ScoreFunction.SOFTMAX if len(self.labels) > 1 else ScoreFunction.SIGMOID
        self._function = ScoreFunction(fields.choice("function", list(ScoreFunction), usual))
        self._top_k = fields.number("top_k", len(self.labels), least=1, most=len(self.labels))
        fields.end()

    @property
    def _hashed(self) -> Sequence[Any]:
        return [self._texts.hashed, self.labels, self._output, self._function]

    def example(self) -> dict[str, Any]:
        return {"text": "The train was on time, and the coffee was good."}

    def encode(self, body: Mapping[str, Any]) -> Encoded[TextsAsked]:
        texts = item_list(body, "text", "texts", most=MAX_TEXTS)
        top_k = body.get("top_k", self._top_k)
        if not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1:
            raise InvalidItem("`top_k` must be a whole number, 1 or more.", field="top_k")
        tokenized = self._texts.tokenize(texts)
        asked = TextsAsked([(text.given, text.used) for text in tokenized], min(top_k, len(self.labels)))
        return Encoded(self._texts.rows(tokenized), asked)

    def prepare(self, tensors: Tensors) -> Tensors:
        return self._texts.prepare(tensors)

    def decode(self, outputs: Tensors, encoded: Encoded[TextsAsked]) -> list[TextLabels]:
        check_outputs_fit(outputs, self._output, len(self.labels))
        scores = self._function(outputs[self._output])
        return [
            TextLabels(best_labels(self.labels, row, encoded.context.top_k), given, used)
            for row, (given, used) in zip(scores, encoded.context.tokens, strict=True)
        ]
