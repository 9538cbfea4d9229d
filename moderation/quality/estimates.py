"""Precision, recall and prevalence, from verdicts about contents that were drawn with known, unequal probabilities.

The intervals hold with few violations, with none, and with weights that differ a thousandfold. A total of weights is
a gamma variable whose mean and variance are those of the sample (Fay and Feuer 1997). The unfavourable one of the two
totals also gets one more content of the largest weight: one that could have been drawn, and was not. The share of one
total in both then has a closed form (Fay, Proschan and Brittain 2015), which with equal weights is the interval of
Clopper and Pearson. Intervals by an effective number of verdicts are narrower, but miss violations that only rare,
heavy draws would show.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
_LOW, _HIGH = (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2
_STEPS = np.linspace(-20, 20, 4001)  # in deviations; the rest weighs less than 1e-8


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval. `value` is None if there is not enough to tell; the interval is then all there could be.

    `count`: the verdicts that it rests on.
    """

    value: float | None
    low: float
    high: float
    count: int


@dataclass(frozen=True, slots=True)
class WeightedVerdicts:
    """What people said about contents that were drawn at random. A weight is 1 / the probability of being drawn."""

    violates: NDArray[np.bool_]
    weights: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.violates.shape != self.weights.shape:
            raise ValueError("Each verdict needs one weight.")
        if not np.all((self.weights >= 1) & np.isfinite(self.weights)):
            raise ValueError("A weight is 1 divided by a probability, so it is finite and at least 1.")

    @classmethod
    def of(cls, verdicts: Iterable[tuple[bool, float]]) -> Self:
        """From pairs of a verdict (does it violate?) and the probability with which the content was drawn."""
        pairs = list(verdicts)
        if not all(0 < probability <= 1 for _, probability in pairs):
            raise ValueError("A content that was drawn had a probability above 0, and of at most 1.")
        return cls(
            np.array([violates for violates, _ in pairs], bool),
            np.array([1 / probability for _, probability in pairs], float),
        )

    @property
    def count(self) -> int:
        return len(self.weights)


class _Total(NamedTuple):
    """A total of weights, as far as its sample says. `heaviest`: what a content that was not drawn may weigh."""

    sum: float
    sum_of_squares: float
    heaviest: float

    @classmethod
    def of(cls, weights: NDArray[np.float64], heaviest: float) -> Self:
        return cls(float(weights.sum()), float((weights**2).sum()), heaviest)

    def gamma(self, *, with_unseen: bool) -> tuple[float, float]:
        """Shape and scale."""
        extra = self.heaviest if with_unseen else 0.0
        mean, variance = self.sum + extra, self.sum_of_squares + extra**2
        return mean**2 / variance, variance / mean


def estimate_precision(flagged: WeightedVerdicts) -> Estimate:
    """How much of what was flagged violates. With no verdict, None."""
    return _estimate_share_of_violations(flagged)


def estimate_prevalence(audited: WeightedVerdicts) -> Estimate:
    """How much of what was allowed violates, from the random audit. With no verdict, None."""
    return _estimate_share_of_violations(audited)


def estimate_recall(flagged: WeightedVerdicts, audited: WeightedVerdicts) -> Estimate:
    """How many of all violations were flagged. Both samples are of the same contents' time and place.

    None without an audit, because then nobody looked for what was missed, and if no violation is known at all.
    """
    found = flagged.weights[flagged.violates]
    missed = audited.weights[audited.violates]
    count = flagged.count + audited.count
    if not audited.count or not len(found) + len(missed):
        return Estimate(None, 0.0, 1.0, count)
    heaviest_flagged = float(flagged.weights.max(initial=1.0))
    return _estimate_share(
        _Total.of(found, heaviest_flagged), _Total.of(missed, float(audited.weights.max())), count
    )


def _estimate_share_of_violations(verdicts: WeightedVerdicts) -> Estimate:
    if not verdicts.count:
        return Estimate(None, 0.0, 1.0, 0)
    heaviest = float(verdicts.weights.max())
    return _estimate_share(
        _Total.of(verdicts.weights[verdicts.violates], heaviest),
        _Total.of(verdicts.weights[~verdicts.violates], heaviest),
        verdicts.count,
    )


def _estimate_share(part: _Total, rest: _Total, count: int) -> Estimate:
    """The share of one total in both, of which at least one is above 0."""
    low, high = 0.0, 1.0
    if part.sum:
        low = _share_quantile(part.gamma(with_unseen=False), rest.gamma(with_unseen=True), _LOW)
    if rest.sum:
        high = _share_quantile(part.gamma(with_unseen=True), rest.gamma(with_unseen=False), _HIGH)
    return Estimate(part.sum / (part.sum + rest.sum), low, high, count)


def _share_quantile(part: tuple[float, float], rest: tuple[float, float], probability: float) -> float:
    """A quantile of G / (G + H) with independent gamma variables, each given as shape and scale.

    With equal scales the share has a beta distribution. It is integrated on its log odds, where it is smooth and has
    one peak; different scales move the log odds.
    """
    (a, part_scale), (b, rest_scale) = part, rest
    log_odds = math.log(a / b) + _STEPS * math.sqrt(1 / a + 1 / b)
    density = np.logaddexp(0, -log_odds) * -a - np.logaddexp(0, log_odds) * b
    density = np.exp(density - density.max())
    area = np.cumsum(density[1:] + density[:-1])
    quantile = float(np.interp(probability * area[-1], area, log_odds[1:]))
    return 1 / (1 + math.exp(-quantile) * rest_scale / part_scale)
