from math import comb

import numpy as np
import pytest

from moderation.quality.estimates import (
    Estimate,
    WeightedVerdicts,
    estimate_precision,
    estimate_prevalence,
    estimate_recall,
)
from tests.support.quality_simulations import WORLDS

RUNS = 500
LEAST_COVERAGE = 0.93


def unweighted(violating, count):
    return WeightedVerdicts(np.arange(count) < violating, np.ones(count))


def coverage(estimates, truth):
    return np.mean([one.low <= truth <= one.high for one in estimates])


@pytest.mark.parametrize("name", WORLDS)
class TestIntervals:
    def test_they_cover_the_truth(self, name):
        world = WORLDS[name]
        samples = list(world.samples(np.random.default_rng(71), RUNS))

        precisions = [estimate_precision(sample.flagged) for sample in samples]
        recalls = [estimate_recall(*sample) for sample in samples]
        prevalences = [estimate_prevalence(sample.audited) for sample in samples]

        assert coverage(precisions, world.precision) >= LEAST_COVERAGE
        assert coverage(recalls, world.recall) >= LEAST_COVERAGE
        assert coverage(prevalences, world.true_prevalence) >= LEAST_COVERAGE

    def test_without_the_weights_they_do_not(self, name):
        world = WORLDS[name]
        samples = list(world.samples(np.random.default_rng(71), RUNS))

        def without_weights(verdicts):
            return WeightedVerdicts(verdicts.violates, np.ones(verdicts.count))

        recalls = [estimate_recall(*map(without_weights, sample)) for sample in samples]

        assert coverage(recalls, world.recall) < 0.5


def test_worlds_have_few_violations_found():
    """The intervals are tried where it is hard: none found, a handful, a dozen."""
    found = {
        name: [int(sample.audited.violates.sum()) for sample in world.samples(np.random.default_rng(3), 200)]
        for name, world in WORLDS.items()
    }

    assert found["often none found"].count(0) > 20
    assert 3 <= np.median(found["small everything"]) <= 8
    assert 3 <= np.median(found["all far from the cut-off"]) <= 10
    assert 8 <= np.median(found["a dozen found"]) <= 16


def test_normal_interval_misses_what_only_heavy_draws_show():
    """Negative control: what a textbook does with weights is not enough here."""
    world = WORLDS["all far from the cut-off"]
    covered = 0
    for flagged, audited in world.samples(np.random.default_rng(71), RUNS):
        found, missed = flagged.weights[flagged.violates], audited.weights[audited.violates]
        if len(missed):
            log_odds = np.log(found.sum() / missed.sum())
            error = np.sqrt((found**2).sum() / found.sum() ** 2 + (missed**2).sum() / missed.sum() ** 2)
            covered += abs(log_odds - np.log(world.recall / (1 - world.recall))) <= 1.96 * error

    assert covered / RUNS < 0.85


@pytest.mark.parametrize("violating, count", [(1, 1), (0, 10), (3, 10), (5, 10), (10, 10), (3, 300)])
def test_equal_weights_give_the_exact_binomial_interval(violating, count):
    def at_most(number, rate):
        return sum(comb(count, k) * rate**k * (1 - rate) ** (count - k) for k in range(number + 1))

    estimate = estimate_precision(unweighted(violating, count))

    assert estimate.value == violating / count
    assert estimate.count == count
    if violating:
        assert 1 - at_most(violating - 1, estimate.low) == pytest.approx(0.025, abs=1e-4)
    else:
        assert estimate.low == 0
    if violating < count:
        assert at_most(violating, estimate.high) == pytest.approx(0.025, abs=1e-4)
    else:
        assert estimate.high == 1


def test_value_is_the_weighted_share():
    flagged = WeightedVerdicts.of([(True, 1.0), (True, 0.5), (False, 1.0)])
    audited = WeightedVerdicts.of([(True, 0.1), (False, 0.01), (False, 0.5)])

    assert estimate_precision(flagged).value == pytest.approx(3 / 4)
    assert estimate_prevalence(audited).value == pytest.approx(10 / 112)
    assert estimate_recall(flagged, audited).value == pytest.approx(3 / 13)
    assert estimate_recall(flagged, audited).count == 6


def test_recall_is_unknown_as_long_as_nobody_looks_for_what_was_missed():
    nothing = WeightedVerdicts.of([])

    assert estimate_recall(unweighted(50, 50), nothing) == Estimate(None, 0.0, 1.0, 50)
    assert estimate_recall(unweighted(0, 50), unweighted(0, 50)) == Estimate(None, 0.0, 1.0, 100)
    assert estimate_precision(nothing) == Estimate(None, 0.0, 1.0, 0)
    assert estimate_prevalence(nothing) == Estimate(None, 0.0, 1.0, 0)


def test_an_audit_that_finds_nothing_says_more_the_more_it_looked_at():
    def low(audits):
        probability = audits / 10_000
        return estimate_recall(unweighted(100, 120), WeightedVerdicts.of([(False, probability)] * audits)).low

    assert low(100) < 0.3
    assert low(100) < low(1_000) < low(10_000)
    assert low(10_000) > 0.9


def test_recall_of_a_detector_that_found_nothing_is_nought():
    estimate = estimate_recall(unweighted(0, 20), unweighted(5, 100))

    assert (estimate.value, estimate.low) == (0.0, 0.0)
    assert 0 < estimate.high < 0.6


def test_large_counts_are_told_precisely():
    estimate = estimate_precision(unweighted(900_000, 1_000_000))

    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 * 0.0003, rel=0.02)


@pytest.mark.parametrize("probability", [0.0, -0.1, 1.5, float("nan")])
def test_impossible_probability_is_refused(probability):
    with pytest.raises(ValueError, match="probability"):
        WeightedVerdicts.of([(True, probability)])


@pytest.mark.parametrize("weights", [[0.5], [float("inf")], [float("nan")], [1.0, 1.0]])
def test_impossible_weights_are_refused(weights):
    with pytest.raises(ValueError, match="weight"):
        WeightedVerdicts(np.array([True]), np.array(weights))
