"""The tasks of models whose callers send and receive the model's own tensors."""

import math
from collections.abc import Collection
from functools import cached_property
from typing import Any

import numpy as np

from inference.pipelines.errors import BadTaskConfig
from inference.pipelines.labels import read_labels, shown
from inference.pipelines.pipeline import Config, Fields, Files, FilesBeside, OneNumber, Pipeline, hash_of
from inference.tensors.arrays import Array
from inference.tensors.signature import Signature, TensorSpec

LOGITS, PROBABILITIES = SCORES = ("logits", "probabilities")
_MAX_LABELS = 100_000


class PlainTensors(Pipeline):
    task = "tensor"
    title = "numbers in, numbers out"

    @classmethod
    def check_config(cls, config: Config, files: Collection[str]) -> None:
        Fields(config).end()


class PlainClassification(Pipeline):
    """Numbers in; its callers know the order of the labels, and get one score for each."""

    task = "classification"
    title = "numbers in, a score for each of several labels out"

    def __init__(self, config: Config, files: Files, signature: Signature) -> None:
        super().__init__(config, files, signature)
        self.labels, self.scores = _read(config)
        self.output = _score_output(signature, len(self.labels)).name

    @classmethod
    def check_config(cls, config: Config, files: Collection[str]) -> None:
        _read(config)

    @classmethod
    def prefill(cls, beside: FilesBeside) -> dict[str, Any]:
        return {"labels": list(beside.labels), "scores": PROBABILITIES} if beside.labels else {}

    @cached_property
    def digest(self) -> str:
        return hash_of(self.task, [self.labels, self.scores, self.output])

    def one_number(self, row: Array) -> OneNumber:
        if not row.size:
            return super().one_number(row)
        scores = row.astype(np.float64).ravel()
        best = int(scores.argmax())
        if self.scores == PROBABILITIES:
            return OneNumber(best, float(scores[best]))
        with np.errstate(invalid="ignore"):  # an infinite score makes the confidence NaN
            return OneNumber(best, 1.0 / math.fsum(np.exp(scores - scores[best])))


def _read(config: Config) -> tuple[list[str], str]:
    fields = Fields(config)
    labels = read_labels(fields, most=_MAX_LABELS)
    scores = fields.choice("scores", SCORES, "")
    fields.end()
    return labels, scores


def _score_output(signature: Signature, count: int) -> TensorSpec:
    """The first output that can hold a number for each label."""
    for spec in signature.outputs:
        if spec.datatype not in {"BYTES", "BOOL"} and (
            spec.any_rank or (spec.shape and spec.shape[-1] in {None, count})
        ):
            return spec
    raise BadTaskConfig(
        f"There are {count:,} labels, but no output with that many scores; the model has {shown(signature.outputs)}.",
        field="labels",
    )
