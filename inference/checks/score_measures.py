"""NDCG, AUC and log loss from scores, as scikit-learn computes them."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
_SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")
SMALLEST = float(np.finfo(np.float64).eps)  # a probability of 0 counts as this


def ndcg(gains: Mapping[Hashable, float], keys: Sequence[Hashable], scores: Sequence[float]) -> float:
    """The discounted gain of a ranking, as a share of that of the best ranking with as many places.

    Equal scores share their places. 0 if nothing is of any good.
    """
    discounts = 1 / np.log2(np.arange(2, len(keys) + 2))
    best = np.sort(np.fromiter(gains.values(), np.float64, len(gains)))[::-1][: len(keys)]
    most = float(best @ discounts[: len(best)])
    if not most:
        return 0.0
    found = np.array([gains.get(key, 0.0) for key in keys])
    _, of, sizes = np.unique(np.asarray(scores, np.float64), return_inverse=True, return_counts=True)
    means = np.bincount(of, found) / sizes
    return float(means[of] @ discounts) / most


def auc(scores: Numbers, are_right: NDArray[np.bool_]) -> float:
    """How often a right one has a higher score than a wrong one, of all pairs; equal scores count half.

    There must be both.
    """
    right, wrong = np.sort(scores[are_right]), np.sort(scores[~are_right])
    twice = sum(int(np.searchsorted(wrong, right, side).sum()) for side in _SIDES)
    return twice / (2 * len(right) * len(wrong))


def log_loss(probability: float) -> float:
    """Of what turned out to be right."""
    return -float(np.log(min(max(probability, SMALLEST), 1 - SMALLEST)))
