import pytest

from inference.doors.limits.flights import ACTIVE_S, Flights
from inference.engine.errors import Overloaded
from inference.errors import TooManyRequests
from tests.inference.doors.limits.callers import Clock, a_caller

ROOM = 32


@pytest.fixture
def clock():
    return Clock()


def flights_of(clock, **more):
    return Flights(room=ROOM, processes=2, clock=clock.steady, **more)


def enter(flights, by, times=1):
    for _ in range(times):
        flights.check(by)
        flights.add(by)


def test_a_single_key_may_have_all_but_a_reserve(clock):
    flights, by = flights_of(clock), a_caller()

    enter(flights, by, ROOM * 7 // 8)

    with pytest.raises(Overloaded, match="32 requests at once"):
        flights.check(by)


def test_a_key_that_was_silent_finds_a_place_beside_one_that_has_all(clock):
    flights, many, silent = flights_of(clock), a_caller(), a_caller()
    enter(flights, many, ROOM * 7 // 8)

    enter(flights, silent, ROOM // 8)


def test_a_place_that_is_left_is_free(clock):
    flights, by = flights_of(clock), a_caller()
    enter(flights, by, ROOM * 7 // 8)

    flights.drop(by)

    enter(flights, by)


def test_below_three_quarters_nobody_is_held_to_a_share(clock):
    flights, many, few = flights_of(clock), a_caller(), a_caller()
    enter(flights, few)

    enter(flights, many, ROOM * 3 // 4 - 1)

    with pytest.raises(
        TooManyRequests, match="23 requests in flight, its share while 2 keys are active"
    ) as refused:
        flights.check(many)
    assert refused.value.retry_after_s == 1


def test_every_active_key_finds_its_share(clock):
    flights = flights_of(clock)
    callers = [a_caller() for _ in range(4)]

    for _ in range(ROOM // 4):
        for by in callers:
            enter(flights, by)

    with pytest.raises(TooManyRequests):
        flights.check(callers[0])


def test_where_keys_outnumber_places_each_may_have_one(clock):
    flights = flights_of(clock)
    callers = [a_caller() for _ in range(ROOM + 1)]
    for by in callers[:ROOM]:
        enter(flights, by)

    with pytest.raises(TooManyRequests):
        flights.check(callers[0])
    with pytest.raises(Overloaded):
        flights.check(callers[ROOM])


def test_a_key_that_fell_silent_has_no_claim(clock):
    flights, many, few = flights_of(clock), a_caller(), a_caller()
    enter(flights, few)
    flights.drop(few)
    enter(flights, many, ROOM * 3 // 4)

    clock.tick(ACTIVE_S + 0.1)

    enter(flights, many, ROOM // 8)


def test_the_silent_are_forgotten_at_last_and_the_longest_silent_first(clock):
    flights = flights_of(clock, most_keys=3)
    for by in [a_caller() for _ in range(5)]:
        enter(flights, by)
    many = a_caller()
    enter(flights, many, ROOM * 3 // 4 - 5)

    with pytest.raises(TooManyRequests, match="3 keys are active"):
        flights.check(many)
