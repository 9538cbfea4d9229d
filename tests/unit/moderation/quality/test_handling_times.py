import numpy as np
import pytest

from moderation.quality.handling_times import LEAST_VERDICTS, VerdictTime, measure_handling_time


def verdict_times(count=5_000):
    """As people work: about 20 s, some much longer."""
    return np.random.default_rng(2).lognormal(mean=3, sigma=0.7, size=count)


def test_pauses_hardly_matter():
    times = verdict_times()
    with_pauses = times.copy()
    with_pauses[::50] += 1_800

    measured, expected = measure_handling_time(with_pauses), measure_handling_time(times)

    assert measured.pauses >= 100
    assert measured.mean_s == pytest.approx(expected.mean_s, rel=0.15)
    assert measured.median_s == pytest.approx(expected.median_s, rel=0.03)
    assert with_pauses.mean() > 2 * times.mean()  # negative control: the plain mean


def test_long_verdicts_are_not_lost():
    times = verdict_times()

    measured = measure_handling_time(times)

    assert measured.mean_s == pytest.approx(times.mean(), rel=0.01)
    assert measured.pauses < len(times) * 0.01


def test_pause_counts_as_the_longest_time():
    measured = measure_handling_time([10.0] * 19 + [4_000.0])

    assert measured.pauses == 1
    assert measured.mean_s == pytest.approx((19 * 10 + measured.longest_s) / 20)
    assert 20 < measured.longest_s < 60


def test_equal_times_are_no_pauses():
    measured = measure_handling_time([7.0] * 30)

    assert (measured.median_s, measured.mean_s, measured.pauses) == (7.0, 7.0, 0)


def test_verdicts_in_bulk_take_no_time():
    assert measure_handling_time([0.0] * 30).mean_s == 0


@pytest.mark.parametrize("count", [0, LEAST_VERDICTS - 1])
def test_not_enough(count):
    assert measure_handling_time([5.0] * count) == VerdictTime(None, None, None, 0, count)


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_impossible_time_is_refused(seconds):
    with pytest.raises(ValueError, match="Seconds"):
        measure_handling_time([5.0] * 20 + [seconds])
