import pytest

from inference.doors.limits.rates import Minutes
from tests.support.callers import NOON, Clock


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def minutes(clock):
    return Minutes(wall=clock.wall, steady=clock.steady)


def test_a_minute_is_the_wall_clocks(minutes, clock):
    assert minutes.now() == NOON
    clock.tick(59.9)
    assert minutes.now() == NOON
    clock.tick(0.1)
    assert minutes.now() == NOON + 1


def test_a_clock_that_is_put_back_gives_no_minute_twice(minutes, clock):
    clock.tick(61)
    assert minutes.now() == NOON + 1

    clock.wall_s -= 3600

    assert minutes.now() == NOON + 1


def test_a_clock_that_is_put_back_does_not_make_a_minute_last(minutes, clock):
    minutes.now()
    clock.wall_s -= 3600

    clock.tick(59)
    assert minutes.now() == NOON
    clock.tick(1)
    assert minutes.now() == NOON + 1
    clock.tick(200)
    assert minutes.now() == NOON + 4
    assert minutes.now() == NOON + 4


def test_a_clock_that_is_put_forward_is_followed(minutes, clock):
    minutes.now()

    clock.wall_s += 3600

    assert minutes.now() == NOON + 60


@pytest.mark.parametrize(("passed_s", "left_s"), [(0, 60), (0.5, 60), (23, 37), (59.9, 1)])
def test_what_is_left_of_a_minute_is_told_in_whole_seconds(minutes, clock, passed_s, left_s):
    clock.tick(passed_s)
    minutes.now()

    assert minutes.left_s() == left_s


def test_what_is_left_is_never_more_than_a_minute(minutes, clock):
    minutes.now()
    clock.wall_s -= 3600

    assert minutes.left_s() == 60
