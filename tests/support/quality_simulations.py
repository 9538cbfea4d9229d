"""Worlds in which the truth is known, to draw samples of verdicts and double reviews from."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from moderation.quality.careless_reviewers import DoubleReview
from moderation.quality.estimates import WeightedVerdicts

_SCORES = (np.arange(50) + 0.5) / 50  # of allowed contents; 1 is the cut-off


class Sample(NamedTuple):
    flagged: WeightedVerdicts
    audited: WeightedVerdicts


@dataclass(frozen=True)
class World:
    """Contents of a month. Most allowed ones have low scores; the audit draws those near the cut-off more often.

    `far`: the part of the missed violations that has nothing to do with the score. `unequal`: how much more likely a
    content at the cut-off is drawn than one at the other end. `reviewed`: the share that people judge of each half of
    what was flagged.
    """

    allowed: int
    prevalence: float
    far: float
    unequal: float
    audits: int
    flagged: int
    precision: float
    reviewed: tuple[float, float] = (1.0, 1.0)

    @property
    def recall(self) -> float:
        found = self.flagged * self.precision
        missed = float((self._contents * self._violating).sum())
        return found / (found + missed)

    @property
    def true_prevalence(self) -> float:
        return float((self._contents * self._violating).sum() / self._contents.sum())

    @property
    def _contents(self):
        rarity = np.exp(-6 * _SCORES)
        return np.round(self.allowed * rarity / rarity.sum()).astype(int)

    @property
    def _violating(self):
        near = np.exp(5 * _SCORES)
        near *= self.allowed * self.prevalence * (1 - self.far) / (self._contents * near).sum()
        return np.clip(near + self.prevalence * self.far, 0, 1)

    @property
    def _drawn(self):
        chance = self.unequal**_SCORES
        return np.clip(self.audits * chance / (self._contents * chance).sum(), 0, 1)

    def samples(self, rng: np.random.Generator, runs: int) -> Iterator[Sample]:
        contents, violating, drawn = self._contents, self._violating, self._drawn
        reviewed, half = np.array(self.reviewed), self.flagged // 2
        for _ in range(runs):
            yield Sample(
                _verdicts(
                    reviewed,
                    rng.binomial(half, self.precision * reviewed),
                    rng.binomial(half, (1 - self.precision) * reviewed),
                ),
                _verdicts(
                    drawn,
                    rng.binomial(contents, violating * drawn),
                    rng.binomial(contents, (1 - violating) * drawn),
                ),
            )


def _verdicts(probabilities, violating, others):
    weights = np.concatenate([np.repeat(1 / probabilities, violating), np.repeat(1 / probabilities, others)])
    return WeightedVerdicts(np.arange(len(weights)) < violating.sum(), weights)


WORLDS = {
    "equal weights": World(20_000, 0.02, 0, 1, 500, flagged=3_000, precision=0.8),
    "a dozen found": World(50_000, 0.005, 0.2, 100, 500, flagged=2_000, precision=0.7, reviewed=(0.3, 0.3)),
    "often none found": World(20_000, 0.005, 0.5, 20, 200, flagged=500, precision=0.9, reviewed=(0.3, 0.3)),
    "very unequal weights": World(50_000, 0.01, 0.5, 1_000, 1_500, 3_000, 0.6, (0.2, 0.2)),
    "all far from the cut-off": World(50_000, 0.005, 1, 1_000, 1_500, 3_000, 0.6, (0.2, 0.2)),
    "all near the cut-off": World(50_000, 0.02, 0, 300, 800, 5_000, 0.95, (0.05, 0.5)),
    "few flagged": World(10_000, 0.05, 0.3, 50, 400, flagged=40, precision=0.5),
    "small everything": World(10_000, 0.01, 0.3, 100, 200, flagged=100, precision=0.97, reviewed=(0.5, 0.5)),
}


def double_reviews(
    rng: np.random.Generator, error_rates: list[float], each: int, *, third_verdicts: float
) -> list[DoubleReview]:
    """Of a team with an even number of reviewers, numbered in order. `third_verdicts`: how many disagreements get one.

    Third verdicts are wrong as often as an honest reviewer's.
    """
    reviews = []
    for _ in range(each):
        order = rng.permutation(len(error_rates)).tolist()
        for first, second in list(pairwise(order))[::2]:
            wrong = [one for one in (first, second) if rng.random() < error_rates[one]]
            agree = len(wrong) != 1
            contradicted = None
            if not agree and rng.random() < third_verdicts:
                contradicted = wrong[0] if rng.random() >= 0.05 else first + second - wrong[0]
            reviews.append(DoubleReview(first, second, agree, contradicted))
    return reviews
