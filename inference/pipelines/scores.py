"""Outputs of models to scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]

MAX_LABELS, LONGEST_LABEL = 10_000, 200


@dataclass(frozen=True, slots=True)
class Label:
    label: str
    score: float


class ScoreFunction(StrEnum):
    """What turns a model's outputs into scores. `none`: they are scores already, or values of a regression."""

    SOFTMAX = "softmax"
    SIGMOID = "sigmoid"
    NONE = "none"

    def __call__(self, outputs: NDArray[Any]) -> Scores:
        """Scores along the last axis."""
        values = outputs.astype(np.float64)
        if self is ScoreFunction.SOFTMAX:
            return softmax(values)
        if self is ScoreFunction.SIGMOID:
            return sigmoid(values)
        return values


def softmax(values: Scores) -> Scores:
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def sigmoid(values: Scores) -> Scores:
    """Without overflow on either side."""
    powers = np.exp(-np.abs(values))
    return np.where(values >= 0, 1 / (1 + powers), powers / (1 + powers))


def best(scores: Scores, count: int) -> NDArray[np.intp]:
    """The positions of the highest scores, highest first; equal scores in their order."""
    return np.argsort(-scores, kind="stable")[:count]


def best_labels(labels: Sequence[str], scores: Scores, count: int) -> list[Label]:
    """The labels with the highest scores, best first."""
    return [Label(labels[at], float(scores[at])) for at in best(scores, count)]
