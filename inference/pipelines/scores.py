"""Outputs of models to scores."""

from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]


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
    """NaN where the highest value is not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        powers = np.exp(values - values.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def sigmoid(values: Scores) -> Scores:
    """Without overflow on either side."""
    powers = np.exp(-np.abs(values))
    return np.where(values >= 0, 1 / (1 + powers), powers / (1 + powers))


def best(scores: Scores, count: int) -> NDArray[np.intp]:
    """The positions of the highest scores, highest first; equal scores in their order."""
    if 4 * count < len(scores):  # then most need not be sorted
        lowest = np.partition(scores, -count)[-count]
        candidates = np.flatnonzero(scores >= lowest)
        return candidates[np.argsort(-scores[candidates], kind="stable")[:count]]
    return np.argsort(-scores, kind="stable")[:count]
