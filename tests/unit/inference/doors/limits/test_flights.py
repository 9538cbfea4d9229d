import pytest

from inference.doors.limits.flights import Flights, RecentRequests
from inference.engine.errors import Overloaded
from inference.errors import TooManyRequests
from tests.support.callers import Clock, a_caller

ROOM = 32
MODEL = 1


@pytest.fixture
def clock():
    return Clock()


def flights_of(clock, **more):
    return Flights(room=ROOM, processes=2, clock=clock.steady, **more)


def enter(flights, by, times=1):
    for _ in range(times):
        flights.check(by, MODEL)
        flights.add(by, MODEL, 1.0)


def test_a_single_key_may_have_all_but_a_reserve(clock):
    flights, by = flights_of(clock), a_caller()

    enter(flights, by, ROOM * 7 // 8)

    with pytest.raises(Overloaded, match="28 requests for this Model are waiting here"):
        flights.check(by, MODEL)


def test_a_key_that_was_silent_finds_a_place_beside_one_that_has_all(clock):
    flights, many, silent = flights_of(clock), a_caller(), a_caller()
    enter(flights, many, ROOM * 7 // 8)

    enter(flights, silent, ROOM // 8)


def test_below_half_nobody_is_held_to_a_share(clock):
    flights, greedy, *others = flights_of(clock), *(a_caller() for _ in range(4))
    for by in others:
        enter(flights, by)

    enter(flights, greedy, ROOM // 2 - 3)

    with pytest.raises(
        TooManyRequests, match="13 requests in flight, its fair share while 4 keys are active"
    ) as refused:
        flights.check(greedy, MODEL)
    assert refused.value.retry_after_s == 1


def test_every_active_key_finds_its_share(clock):
    flights = flights_of(clock)
    callers = [a_caller() for _ in range(4)]

    for _ in range(ROOM // 4):
        for by in callers:
            enter(flights, by)

    with pytest.raises(TooManyRequests):
        flights.check(callers[0], MODEL)


def test_in_a_crowd_a_key_that_asks_less_than_others_may_have_more_than_its_share(clock):
    flights, greedy, normal = flights_of(clock), a_caller(), a_caller()
    for by in [a_caller() for _ in range(6)]:  # so that a share is 4
        enter(flights, by)
        flights.drop(by, MODEL, 1.0)
    enter(flights, greedy, ROOM // 2)
    for _ in range(100):
        with pytest.raises(TooManyRequests):
            flights.check(greedy, MODEL)

    enter(flights, normal, 12)  # up to the reserve, which is for those who have less than their share

    with pytest.raises(TooManyRequests):
        flights.check(normal, MODEL)
    enter(flights, a_caller(), 3)


def test_where_keys_outnumber_places_each_may_have_one(clock):
    flights = flights_of(clock)
    callers = [a_caller() for _ in range(ROOM + 1)]
    for by in callers[:ROOM]:
        enter(flights, by)

    with pytest.raises(TooManyRequests):
        flights.check(callers[0], MODEL)
    with pytest.raises(Overloaded):
        flights.check(callers[ROOM], MODEL)


def test_a_key_that_fell_silent_has_no_claim(clock):
    flights, many, few = flights_of(clock), a_caller(), a_caller()
    enter(flights, few)
    flights.drop(few, MODEL, 1.0)
    enter(flights, many, ROOM // 2)

    clock.tick(2 * RecentRequests.WINDOW_S)

    enter(flights, many, ROOM // 4)


def test_what_was_asked_counts_for_this_window_and_the_next(clock):
    asked = RecentRequests(clock.steady)
    for _ in range(3):
        asked.note(1)
    asked.note(2)
    assert (asked.keys, asked.is_above_average(1), asked.is_above_average(2)) == (2, True, False)

    clock.tick(RecentRequests.WINDOW_S)
    for _ in range(5):
        asked.note(2)
    assert (asked.keys, asked.is_above_average(1), asked.is_above_average(2)) == (2, False, True)

    clock.tick(RecentRequests.WINDOW_S)
    asked.note(1)
    assert (asked.keys, asked.is_above_average(1), asked.is_above_average(2)) == (2, False, True)

    clock.tick(3 * RecentRequests.WINDOW_S)
    asked.note(1)
    assert (asked.keys, asked.is_above_average(1)) == (1, True)


def test_a_slow_model_fills_no_other_models_room(clock):
    flights, by = flights_of(clock), a_caller()
    for _ in range(ROOM * 7 // 8):
        flights.check(by, MODEL)
        flights.add(by, MODEL, 1.0)
    with pytest.raises(Overloaded):
        flights.check(by, MODEL)

    flights.check(by, MODEL + 1)
