"""Labels for texts, with scores."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inference.pipelines.golden import LABEL_ROWS
from inference.pipelines.hugging_face import read_function
from inference.pipelines.labels import Label, LabelFields, LabelOutput, label_specs, label_tensors
from inference.pipelines.pipeline import (
    Config,
    Encoded,
    Fields,
    Files,
    FilesBeside,
    ItemPipeline,
    RowOutputs,
    item_list,
)
from inference.pipelines.scores import ScoreFunction, Scores
from inference.pipelines.texts import (
    MAX_TEXTS,
    SAMPLE_TEXTS,
    TOKENIZER_FILES,
    TextFields,
    TokenRows,
    prefilled,
    text_inputs,
)
from inference.tensors.arrays import Tensors
from inference.tensors.samples import EMPTY_SAMPLE, Sample
from inference.tensors.signature import Signature, TensorSpec

_MOST_USUAL_LABELS = 100  # of an answer, unless configured or requested


@dataclass(frozen=True, slots=True)
class TextLabels:
    """A text's best label and how sure the model is of it; its labels, best first; how many of its tokens were read.

    `tokens_given` and `tokens_used` are None if the model reads texts itself.
    """

    label: str
    confidence: float
    labels: Sequence[Label]
    tokens_given: int | None
    tokens_used: int | None


@dataclass(frozen=True, slots=True)
class TextsAsked:
    tokens: Sequence[tuple[int | None, int | None]]  # given and used, of each text
    top_k: int


class TextClassification(ItemPipeline[TextsAsked]):
    task = "text-classification"
    title = "labels for texts"
    kept_files = TOKENIZER_FILES
    golden = LABEL_ROWS
    one, several, options = "text", "texts", {"top_k": int}
    most_items = MAX_TEXTS

    def __init__(self, config: Config, files: Files, signature: Signature) -> None:
        labels, texts = _read(config)
        self._output = LabelOutput(labels, signature)
        self._texts = text_inputs(texts, files, signature)
        self.token_rows = self._texts if isinstance(self._texts, TokenRows) else None
        self.labels, self.function = labels.labels, labels.function
        self.model_outputs = (self._output.name,)
        super().__init__(config, files, signature)

    @classmethod
    def check_config(cls, config: Config, files: Collection[str]) -> None:
        _, texts = _read(config)
        texts.check_files(files)

    @classmethod
    def prefill(cls, beside: FilesBeside) -> dict[str, Any]:
        found = prefilled(beside.files)
        if beside.labels:
            found |= {"labels": list(beside.labels), "function": ScoreFunction.NONE.value}
        if function := read_function(beside.files):
            found["function"] = function
        return found

    @classmethod
    def items_of(cls, config: Config, signature: Signature) -> Signature:
        labels, _ = _read(config)
        return Signature(
            (TensorSpec("text", "BYTES", (None,)),),
            (
                *label_specs(len(labels.labels)),
                TensorSpec("tokens_given", "INT32", (None,)),
                TensorSpec("tokens_used", "INT32", (None,)),
            ),
        )

    @property
    def _hashed(self) -> Sequence[Any]:
        return [self._texts.hashed, *self._output.hashed]

    @classmethod
    def example_of(
        cls, config: Config, files: Files, signature: Signature, sample: Sample = EMPTY_SAMPLE
    ) -> dict[str, Any]:
        return {"text": "The train was on time, and the coffee was good."}

    def samples(self) -> dict[str, Any]:
        return {"texts": SAMPLE_TEXTS}

    def encode(self, body: Mapping[str, Any]) -> Encoded[TextsAsked]:
        texts = item_list(body, "text", "texts", most=MAX_TEXTS)
        top_k = self._output.read_top_k(body)
        read = self._texts.read(texts)
        counts = [(one.given, one.used) if one is not None else (None, None) for one in read.tokens]
        return Encoded(read.groups, TextsAsked(counts, top_k))

    def prepare(self, tensors: Tensors) -> Tensors:
        return self._texts.prepare(tensors)

    def decode(self, rows: Sequence[RowOutputs], encoded: Encoded[TextsAsked]) -> list[TextLabels]:
        return [
            self._labels_of(scores, encoded.context.top_k, given, used)
            for scores, (given, used) in zip(self._output.scores(rows), encoded.context.tokens, strict=True)
        ]

    def _labels_of(self, scores: Scores, top_k: int, given: int | None, used: int | None) -> TextLabels:
        labels = self._output.best(scores, top_k)
        return TextLabels(labels[0].label, labels[0].score, labels, given, used)

    def body_of(self, tensors: Tensors) -> dict[str, Any]:
        # `scores` has each label
        return {"texts": tensors["text"].tolist(), "top_k": len(self.labels)}

    def tensors_of(self, answers: Sequence[TextLabels]) -> Tensors:
        return {
            **label_tensors(answers, self.labels),
            "tokens_given": np.array([answer.tokens_given or 0 for answer in answers], np.int32),
            "tokens_used": np.array([answer.tokens_used or 0 for answer in answers], np.int32),
        }


def _read(config: Config) -> tuple[LabelFields, TextFields]:
    fields = Fields(config)
    said = LabelFields(fields, usual_top_k=_MOST_USUAL_LABELS), TextFields(fields, may_use_windows=False)
    fields.end()
    return said
