import math

import numpy as np
import pytest

from moderation.quality.careless_reviewers import (
    CARELESS_RATES,
    HONEST_RATE,
    LEAST_EVIDENCE,
    DoubleReview,
    assess_reviewers,
)
from tests.support.quality_simulations import double_reviews

CAREER = 300
ONE_CARELESS = [0.3] + [0.05] * 7


def flagged_at(rng, error_rates, each, *, third_verdicts, teams):
    """When each reviewer of each team is flagged; infinite if never."""
    times = []
    for _ in range(teams):
        records = assess_reviewers(double_reviews(rng, error_rates, each, third_verdicts=third_verdicts))
        times.append([records[one].flagged_at or math.inf for one in range(len(error_rates))])
    return np.array(times)


def agreed(first=1, second=2):
    return DoubleReview(first, second, agree=True)


def differed(first=1, second=2, wrong=None):
    return DoubleReview(first, second, agree=False, wrong=wrong)


class TestCareless:
    @pytest.mark.parametrize("third_verdicts", [0.0, 0.3, 1.0])
    def test_is_flagged_within_60_double_reviews(self, third_verdicts):
        times = flagged_at(
            np.random.default_rng(5), ONE_CARELESS, 60, third_verdicts=third_verdicts, teams=100
        )

        assert np.mean(times[:, 0] <= 60) >= 0.9
        assert np.median(times[:, 0]) <= 30

    def test_two_of_ten_are_flagged(self):
        rates = [0.3, 0.3] + [0.05] * 8
        times = flagged_at(np.random.default_rng(5), rates, 60, third_verdicts=0.3, teams=50)

        assert np.mean(times[:, :2] <= 60) >= 0.9

    def test_less_careless_one_is_flagged_in_time(self):
        rates = [0.15] + [0.02] * 7
        times = flagged_at(np.random.default_rng(5), rates, CAREER, third_verdicts=1.0, teams=20)

        assert np.mean(times[:, 0] <= CAREER) >= 0.8


class TestHonest:
    @pytest.mark.parametrize("third_verdicts", [0.0, 0.3, 1.0])
    @pytest.mark.parametrize("rates", [[0.05] * 8, ONE_CARELESS], ids=["all honest", "one careless"])
    def test_is_rarely_flagged_in_a_career(self, rates, third_verdicts):
        times = flagged_at(np.random.default_rng(6), rates, CAREER, third_verdicts=third_verdicts, teams=20)
        honest = times[:, [number for number, rate in enumerate(rates) if rate <= HONEST_RATE]]

        assert honest.size >= 140
        assert np.mean(honest < math.inf) <= 0.05

    def test_is_not_flagged_for_a_careless_partner(self):
        """The two always review together, and a third person judges every disagreement."""
        times = flagged_at(np.random.default_rng(7), [0.3, 0.05], CAREER, third_verdicts=1.0, teams=100)

        assert np.mean(times[:, 0] <= 60) >= 0.9
        assert np.mean(times[:, 1] < math.inf) <= 0.05

    def test_fixed_sample_test_looked_at_every_time_flags_too_many(self):
        """Negative control: five percent each time is far more in a career."""
        rng = np.random.default_rng(8)
        wrong = np.cumsum(rng.random((2_000, CAREER)) < HONEST_RATE, axis=1)
        looks = np.arange(1, CAREER + 1)
        deviations = (wrong - looks * HONEST_RATE) / np.sqrt(looks * HONEST_RATE * (1 - HONEST_RATE))

        assert np.mean((deviations > 1.645)[:, 30:].any(axis=1)) > 0.15
        assert np.mean(deviations[:, -1] > 1.645) < 0.08  # looked at once, it holds

    def test_blaming_both_for_each_disagreement_flags_too_many(self):
        """Negative control: the likelihood ratio as if all partners were honest."""
        together = [HONEST_RATE * (1 - rate) + rate * (1 - HONEST_RATE) for rate in (HONEST_RATE, 0.3)]
        rng = np.random.default_rng(9)
        flagged = 0
        for _ in range(100):
            reviews = double_reviews(rng, [0.3, 0.05], 60, third_verdicts=0.0)
            differences = sum(not review.agree for review in reviews)
            log_odds = differences * math.log(together[1] / together[0])
            log_odds += (60 - differences) * math.log((1 - together[1]) / (1 - together[0]))
            flagged += log_odds >= math.log(LEAST_EVIDENCE)

        assert flagged > 80


class TestPairs:
    def test_two_who_only_review_with_each_other_cannot_be_told_apart(self):
        records = assess_reviewers([differed(), agreed()] * 100)

        assert not records[1].is_flagged
        assert not records[2].is_flagged

    def test_third_verdicts_tell_them_apart(self):
        records = assess_reviewers([differed(wrong=1), agreed()] * 100)

        assert records[1].is_flagged
        assert not records[2].is_flagged

    def test_reviews_with_others_tell_them_apart(self):
        """The same disagreements, and 2 agrees with everybody else."""
        others = [agreed(2, 3), agreed(2, 4), agreed(3, 4)] * 20
        records = assess_reviewers([*others, *[differed(), agreed()] * 15])

        assert records[1].is_flagged
        assert not records[2].is_flagged

    def test_order_within_a_review_does_not_matter(self):
        rng = np.random.default_rng(10)
        reviews = double_reviews(rng, ONE_CARELESS, 40, third_verdicts=0.5)
        turned = [DoubleReview(one.second, one.first, one.agree, one.wrong) for one in reviews]

        records, of_turned = assess_reviewers(reviews), assess_reviewers(turned)

        for reviewer, record in records.items():
            assert of_turned[reviewer].evidence == pytest.approx(record.evidence)
            assert of_turned[reviewer].flagged_at == record.flagged_at


class TestRecord:
    def test_counts(self):
        records = assess_reviewers([agreed(), differed(), differed(wrong=2), differed(2, 3, wrong=2)])

        assert (records[1].count, records[1].disagreements, records[1].found_wrong) == (3, 2, 0)
        assert (records[2].count, records[2].disagreements, records[2].found_wrong) == (4, 3, 2)
        assert records[3].flagged_at is None

    def test_first_agreement_is_the_likelihood_ratio(self):
        def agreement(rate, partner):
            return rate * partner + (1 - rate) * (1 - partner)

        partners = [(0.85, HONEST_RATE), (0.05, 0.15), (0.05, 0.3), (0.05, 0.5)]
        by_rate = [
            sum(weight * agreement(rate, partner) for weight, partner in partners)
            for rate in (HONEST_RATE, *CARELESS_RATES)
        ]

        record = assess_reviewers([agreed()])[1]

        assert record.evidence == pytest.approx((by_rate[1] + by_rate[2]) / 2 / by_rate[0])

    def test_flag_says_when_and_stays(self):
        bad = [differed(wrong=1)] * 10
        flagged = assess_reviewers(bad)[1]
        after_a_good_time = assess_reviewers([*bad, *[agreed()] * 200])[1]

        assert flagged.flagged_at is not None
        assert after_a_good_time.flagged_at == flagged.flagged_at
        assert after_a_good_time.evidence < LEAST_EVIDENCE

    def test_thousands_of_bad_reviews_are_no_overflow(self):
        record = assess_reviewers([differed(wrong=1)] * 2_000)[1]

        assert math.isfinite(record.evidence)

    def test_nobody(self):
        assert assess_reviewers([]) == {}


@pytest.mark.parametrize(
    "review",
    [
        {"first": 1, "second": 1, "agree": True},
        {"first": 1, "second": 2, "agree": True, "wrong": 1},
        {"first": 1, "second": 2, "agree": False, "wrong": 3},
    ],
    ids=["with oneself", "agree and wrong", "wrong stranger"],
)
def test_impossible_double_review_is_refused(review):
    with pytest.raises(ValueError, match="reviewers"):
        DoubleReview(**review)
