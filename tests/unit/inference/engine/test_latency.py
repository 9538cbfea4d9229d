"""A stated p99 becomes a batch size, and stays true when the machine changes."""

import pytest

from inference.engine.latency import CostCurve, FixedPace, TargetPace, WaitTrial

LADDER = {1: 0.010, 2: 0.012, 4: 0.016, 8: 0.024, 16: 0.040}


def linear(rows, slowness=1.0):
    return slowness * (0.008 + 0.002 * rows)


def test_fixed_settings_stay_as_they_are():
    pace = FixedPace(12, 0.003)

    pace.observe(12, 9.0, 9.0, 0.0)

    assert (pace.max_batch_rows, pace.wait_s) == (12, 0.003)


def test_a_cost_curve_needs_a_measurement():
    with pytest.raises(ValueError):
        CostCurve({})


@pytest.mark.parametrize(
    ("rows", "seconds"), [(1, 0.010), (3, 0.014), (8, 0.024), (16, 0.040), (32, 0.080)], ids=str
)
def test_a_cost_between_two_rungs_lies_on_the_line_and_beyond_the_last_it_is_in_proportion(rows, seconds):
    assert CostCurve(LADDER).mean_s(rows) == pytest.approx(seconds)


def test_the_curve_follows_a_machine_that_slows_down_at_every_size():
    curve = CostCurve(LADDER)

    for _ in range(500):
        curve.observe(4, linear(4, slowness=3))

    assert curve.mean_s(4) == pytest.approx(linear(4, slowness=3), rel=0.05)
    assert curve.mean_s(16) > 1.5 * LADDER[16]


def test_one_hiccup_is_no_new_price():
    curve = CostCurve(LADDER)

    curve.observe(4, 60.0)

    assert curve.mean_s(4) < 1.1 * LADDER[4]


def test_a_noisy_run_time_raises_the_p99_above_the_mean():
    steady, noisy = CostCurve(LADDER), CostCurve(LADDER)
    for index in range(200):
        steady.observe(4, linear(4))
        noisy.observe(4, linear(4) * (1.4 if index % 2 else 0.6))

    assert steady.p99_s(4) == pytest.approx(steady.mean_s(4), rel=0.01)
    assert noisy.p99_s(4) > 1.5 * noisy.mean_s(4)


@pytest.mark.parametrize(
    ("target_s", "rows"),
    [(0.200, 16), (0.060, 8), (0.040, 4), (0.024, 1), (0.001, 1)],
    ids=["roomy", "middling", "tight", "barely", "impossible"],
)
def test_the_largest_batch_leaves_time_for_the_run_before_it(target_s, rows):
    assert TargetPace(target_s, CostCurve(LADDER)).max_batch_rows == rows


def test_no_batch_is_larger_than_may_share_a_run():
    assert TargetPace(0.200, CostCurve(LADDER), most_rows=4).max_batch_rows == 4


def run(pace, batches, slowness=1.0, slowest_s=0.0, rows=2):
    for index in range(batches):
        learn(pace, rows, linear(rows, slowness), slowest_s, index * 0.01)


def learn(pace, rows, compute_s, slowest_s, now):
    """As the batcher does: the version's curve first, then its pace."""
    pace.curve.observe(rows, compute_s)
    pace.observe(rows, compute_s, slowest_s, now)


def test_batches_shrink_when_the_machine_slows_and_grow_back():
    pace = TargetPace(0.060, CostCurve(LADDER))

    run(pace, 512, slowness=1.6)
    slow = pace.max_batch_rows
    run(pace, 1024)

    assert slow < 8
    assert pace.max_batch_rows == 8


def test_late_answers_shrink_the_batch_and_timely_ones_let_it_grow_back():
    pace = TargetPace(0.060, CostCurve(LADDER))

    run(pace, 2048, slowest_s=0.070)
    late = pace.max_batch_rows
    run(pace, 10_240)

    assert late < 8
    assert pace.max_batch_rows == 8


def test_a_queue_that_fills_every_batch_gets_larger_ones_as_long_as_one_run_is_in_time():
    pace = TargetPace(0.030, CostCurve(LADDER))
    assert pace.max_batch_rows == 2

    for index in range(512):
        learn(pace, pace.max_batch_rows, linear(pace.max_batch_rows), 0.070, index * 0.01)
    loaded = pace.max_batch_rows
    run(pace, 512)

    assert loaded == 8
    assert pace.max_batch_rows == 2


def test_where_no_size_is_in_time_the_load_decides():
    pace = TargetPace(0.001, CostCurve(LADDER))

    for index in range(512):
        learn(pace, pace.max_batch_rows, linear(pace.max_batch_rows), 0.070, index * 0.01)

    assert pace.max_batch_rows == 16


def epochs(trial, rate, count, busy=0.9, longest_s=0.01, start=0.0):
    """Feed epochs of a load whose rate depends on the wait; return the waits used."""
    now, waits, wait = start, [], trial.kept_s
    for _ in range(count * 100):
        now += WaitTrial.EPOCH_S / 100
        wait = trial.observe(int(rate(wait)), busy * WaitTrial.EPOCH_S / 100, now, longest_s)
        waits.append(wait)
    return waits


def test_a_wait_that_answers_more_rows_is_kept():
    trial = WaitTrial()

    epochs(trial, lambda wait: 200 if wait else 100, 12)

    assert trial.kept_s == 0.01


def test_a_wait_that_gains_nothing_is_given_up_and_tried_more_rarely():
    trial = WaitTrial()

    waits = epochs(trial, lambda wait: 100, 60)

    assert trial.kept_s == 0.0
    assert 0 < sum(wait > 0 for wait in waits) / len(waits) < 0.1


def test_a_kept_wait_is_given_up_when_it_no_longer_helps():
    trial = WaitTrial()
    epochs(trial, lambda wait: 200 if wait else 100, 12)

    epochs(trial, lambda wait: 100, 100, start=100.0)

    assert trial.kept_s == 0.0


def test_nothing_is_tried_where_the_slot_is_idle_or_the_target_leaves_no_time():
    assert not any(epochs(WaitTrial(), lambda wait: 100, 20, busy=0.2))
    assert not any(epochs(WaitTrial(), lambda wait: 100, 20, longest_s=0.0))
