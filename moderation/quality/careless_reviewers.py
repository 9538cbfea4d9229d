"""Which reviewers are wrong too often, from contents that two people judged without seeing each other's verdict.

The null hypothesis is that a reviewer is wrong as often as an honest one, who also errs now and then; the alternatives
are two careless rates, weighed alike. The evidence is the likelihood ratio, which may be looked at after each review
(see `LEAST_EVIDENCE`).

A disagreement is shared by two people, and the partner may be the careless one. So the ratio is weighed with what is
known of the partner's own rate: from the partner's reviews with others, who may be careless in turn, and from what the
two did together, third verdicts included. Two people who only review with each other, and whom no third person judges,
cannot be told apart, and neither is flagged.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

HONEST_RATE = 0.05
CARELESS_RATES = (0.15, 0.3)
# With known partners, at most 1 in 50 honest reviewers ever gets here, however often they are looked at (Ville). Partners
# are known by and by; the simulations in the tests say what that costs.
LEAST_EVIDENCE = 50.0

_RATES = np.array([HONEST_RATE, *CARELESS_RATES, 0.5])  # that a partner may have
_LOG_PRIOR = np.log([0.85, 0.05, 0.05, 0.05])  # most people are honest
_MOST_LOG_ODDS = 600.0  # a double holds their exponential


@dataclass(frozen=True, slots=True)
class DoubleReview:
    """A content that two reviewers judged blind.

    `wrong`: whom a third verdict contradicted. None if the two agree, and as long as there is no third verdict.
    `settled`: of the two, whoever was talked with since.
    """

    first: int
    second: int
    agree: bool
    wrong: int | None = None
    settled: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if self.first == self.second:
            raise ValueError("A double review needs two reviewers.")
        if self.wrong is not None and (self.agree or self.wrong not in (self.first, self.second)):
            raise ValueError("Only one of two reviewers who disagree can be wrong.")


@dataclass(frozen=True, slots=True)
class ReviewerRecord:
    """A reviewer's double reviews, and what they say.

    `evidence`: how much likelier they are with a careless reviewer than with an honest one. `flagged_at`: the number of
    the double review after which that was enough for the first time.
    """

    count: int
    disagreements: int
    found_wrong: int
    evidence: float
    flagged_at: int | None

    @property
    def is_flagged(self) -> bool:
        return self.flagged_at is not None


def assess_reviewers(reviews: Iterable[DoubleReview]) -> dict[int, ReviewerRecord]:
    """Judge everybody in the double reviews, which are in the order of time.

    A flag stays until a person has dealt with it: settled reviews no longer count against that reviewer, but still say
    something about their partners. Who gets a third verdict must not depend on which of the two is suspected.
    """
    histories: dict[int, _History] = {}
    for review in reviews:
        first = histories.setdefault(review.first, _History())
        second = histories.setdefault(review.second, _History())
        likelihood = _log_likelihood(review)
        first.add(review, review.first, review.second, likelihood)
        second.add(review, review.second, review.first, likelihood.T)
        first.flag_if_careless(review.first, histories)
        second.flag_if_careless(review.second, histories)
    return {
        reviewer: ReviewerRecord(
            history.count,
            history.disagreements,
            history.found_wrong,
            history.evidence(reviewer, histories),
            history.flagged_at,
        )
        for reviewer, history in histories.items()
    }


@dataclass(slots=True)
class _History:
    """What one reviewer did so far. Tables hold log likelihoods: a row for each rate of this reviewer."""

    count: int = 0
    disagreements: int = 0
    found_wrong: int = 0
    flagged_at: int | None = None
    by_partner: dict[int, NDArray[np.float64]] = field(default_factory=dict)  # a column for each of theirs
    unsettled: dict[int, NDArray[np.float64]] = field(
        default_factory=dict
    )  # the same, of what counts against them
    said_by: dict[int, NDArray[np.float64]] = field(default_factory=dict)  # the same, weighed over theirs
    said_by_all: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(_RATES)))

    def add(self, review: DoubleReview, reviewer: int, partner: int, likelihood: NDArray[np.float64]) -> None:
        if reviewer not in review.settled:
            self.count += 1
            self.disagreements += not review.agree
            self.found_wrong += review.wrong == reviewer
            self.unsettled[partner] = self.unsettled.get(partner, 0.0) + likelihood
        table = self.by_partner.get(partner, 0.0) + likelihood
        said = _log_mean(table)
        self.said_by_all = self.said_by_all - self.said_by.get(partner, 0.0) + said
        self.by_partner[partner], self.said_by[partner] = table, said

    def flag_if_careless(self, reviewer: int, histories: dict[int, "_History"]) -> None:
        if self.flagged_at is None and self.evidence(reviewer, histories) >= LEAST_EVIDENCE:
            self.flagged_at = self.count

    def evidence(self, reviewer: int, histories: dict[int, "_History"]) -> float:
        if not self.unsettled:
            return 1.0
        # A partner's rate is judged without the reviewer's word; what the two did together is in the table.
        partners = [histories[partner] for partner in self.unsettled]
        said_by_others = np.array([partner.said_by_all - partner.said_by[reviewer] for partner in partners])
        tables = np.array(list(self.unsettled.values())) + said_by_others[:, np.newaxis, :]
        by_rate = _log_mean(tables).sum(axis=0)
        log_odds = by_rate[1 : 1 + len(CARELESS_RATES)] - by_rate[0]
        return float(np.exp(np.minimum(log_odds, _MOST_LOG_ODDS)).mean())


def _log_mean(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Likelihoods weighed over the rates in the last axis, by how common these are."""
    weighed: NDArray[np.float64] = np.logaddexp.reduce(tables + _LOG_PRIOR, axis=-1)
    return weighed


def _outcomes() -> dict[str, NDArray[np.float64]]:
    """How likely each outcome is: a row for each rate of the first reviewer, a column for each of the second.

    A third verdict is as good as an honest reviewer's.
    """
    first, second = _RATES[:, np.newaxis], _RATES[np.newaxis, :]
    only_first, only_second = first * (1 - second), (1 - first) * second
    return {
        "agree": np.log(1 - only_first - only_second),
        "open": np.log(only_first + only_second),
        "first_wrong": np.log(only_first * (1 - HONEST_RATE) + only_second * HONEST_RATE),
        "second_wrong": np.log(only_second * (1 - HONEST_RATE) + only_first * HONEST_RATE),
    }


_OUTCOMES = _outcomes()


def _log_likelihood(review: DoubleReview) -> NDArray[np.float64]:
    if review.agree:
        return _OUTCOMES["agree"]
    if review.wrong is None:
        return _OUTCOMES["open"]
    return _OUTCOMES["first_wrong" if review.wrong == review.first else "second_wrong"]
