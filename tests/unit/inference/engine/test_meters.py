"""Counts that are read at once and add up."""

import time
from itertools import pairwise

import pytest

from inference.engine.meters import BOUNDS, Meters


def filled(*queue_s):
    meters = Meters(depth=2, running=1, footprint_bytes=100)
    for seconds in queue_s:
        meters.count_batch(3, [seconds], seconds, seconds / 2)
    meters.enter_noted()
    return meters


def test_buckets_are_four_to_the_doubling():
    assert BOUNDS[:9] == [1, 1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4]
    assert BOUNDS[-1] > 3000 * 1e6
    assert all(after / before <= 1.25 for before, after in pairwise(BOUNDS))


@pytest.mark.parametrize("seconds", [0.0, 1e-6, 0.00042, 0.1, 59.0, 1e6], ids=str)
def test_every_time_falls_into_one_bucket_that_holds_it(seconds):
    meters = filled(seconds)

    assert sum(meters.queue_us) == sum(meters.batch_us) == sum(meters.compute_us) == 1
    bucket = meters.queue_us.index(1)
    assert bucket == 0 or BOUNDS[bucket - 1] <= seconds * 1e6
    assert bucket == len(BOUNDS) or seconds * 1e6 < BOUNDS[bucket]


def quantile(table: list[int], share: float) -> float | None:
    """An upper bound for this quantile of the counted values; None if there are none."""
    total = sum(table)
    if not total:
        return None
    seen = 0
    for bucket, count in enumerate(table):
        seen += count
        if count and seen >= share * total:
            return BOUNDS[min(bucket, len(BOUNDS) - 1)]
    return BOUNDS[-1]


def test_a_quantile_is_within_a_bucket_above_the_true_one():
    meters = filled(*(millis / 1000 for millis in range(1, 101)))

    assert 50_000 <= quantile(meters.queue_us, 0.50) <= 50_000 * 1.25
    assert 99_000 <= quantile(meters.queue_us, 0.99) <= 99_000 * 1.25
    assert quantile(meters.batch_rows, 0.99) == 3.5


def test_without_any_value_there_is_no_quantile():
    assert quantile(Meters().queue_us, 0.99) is None


def test_meters_of_two_processes_add_up_to_those_of_one():
    first, second = filled(0.001, 0.2), filled(0.004)
    first.count_end("overloaded")

    total = first + second

    expected = filled(0.001, 0.2, 0.004)
    assert total.ended == {"ok": 3, "overloaded": 1}
    assert total.queue_us == expected.queue_us
    assert (total.rows, total.batches, total.batch_rows) == (9, 3, expected.batch_rows)
    assert (total.depth, total.running, total.footprint_bytes) == (4, 2, 200)
    assert total.queue_s == pytest.approx(expected.queue_s)


def test_the_last_answer_outlasts_copies_sums_and_the_version_itself():
    before = time.time()
    meters = filled(0.001)
    after = time.time()

    assert Meters().answered_at == 0
    assert before <= meters.answered_at <= after
    for kept in (meters.copy(), meters.without_gauges(), Meters() + meters, meters + Meters(answered_at=1.0)):
        assert kept.answered_at == meters.answered_at


def test_a_copy_stands_still():
    meters = filled(0.001)
    copy = meters.copy()

    meters.count_batch(1, [0.001], 0.001, 0.001)
    meters.enter_noted()

    assert sum(copy.queue_us) == 1
    assert copy.ended == {"ok": 1}


def test_a_copy_holds_what_was_only_noted():
    meters = Meters()
    for _ in range(17):
        meters.count_batch(1, [0.0], 0.001, 0.001)

    assert sum(meters.queue_us) == 16
    assert sum(meters.copy().queue_us) == meters.copy().ended["ok"] == 17


def test_an_unloaded_version_holds_nothing():
    gone = filled(0.001).without_gauges()

    assert (gone.depth, gone.running, gone.footprint_bytes) == (0, 0, 0)
    assert gone.rows == 3
