"""The room of a process is seconds of work: what a request costs is learned, and whoever costs more fills it earlier."""

import pytest

from inference.doors.limits.admission import Admission
from inference.doors.limits.flights import Costs
from inference.engine.errors import Overloaded
from inference.engine.loop import complete
from inference.errors import TooManyRequests
from tests.support.callers import Clock, a_caller, a_route

ROOM_S = 4.0
MODEL = 1


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def gate(clock):
    return Admission(room=ROOM_S, processes=1, costs=Costs(), wall=clock.wall, steady=clock.steady)


class TestCosts:
    def test_those_that_share_a_run_cost_their_part_of_it(self):
        costs = Costs()

        costs.learn(MODEL, 0.060, 30)

        assert costs.of(MODEL) == pytest.approx(0.002)

    def test_one_that_runs_alone_costs_all_of_it(self):
        """Negative control: it is the company that makes them cheap."""
        costs = Costs()

        costs.learn(MODEL, 0.060, 1)

        assert costs.of(MODEL) == pytest.approx(0.060)

    def test_a_model_costs_little_until_one_was_answered_and_never_nothing(self):
        costs = Costs()
        assert costs.of(MODEL) == Costs.FIRST_S

        costs.learn(MODEL, 0.0, 1)

        assert costs.of(MODEL) == Costs.LEAST_S
        assert costs.of(MODEL + 1) == Costs.FIRST_S

    def test_low_values_are_followed_fast(self):
        costs = Costs()
        costs.learn(MODEL, 1.0, 1)

        for _ in range(20):
            costs.learn(MODEL, 0.001, 1)

        assert 0.001 < costs.of(MODEL) < 0.02

    def test_high_values_are_followed_slowly(self):
        costs = Costs()
        costs.learn(MODEL, 0.001, 1)

        costs.learn(MODEL, 1.0, 1)
        after_one = costs.of(MODEL)
        for _ in range(20):
            costs.learn(MODEL, 1.0, 1)
        after_some = costs.of(MODEL)
        for _ in range(200):
            costs.learn(MODEL, 1.0, 1)

        assert after_one < 0.03
        assert 0.2 < after_some < 0.5
        assert costs.of(MODEL) > 0.9  # a Model that has become slow is known as that in the end

    def test_what_is_known_of_models_that_have_gone_is_not_kept_for_ever(self):
        costs = Costs()
        for model_id in range(Costs._MODELS + 5):
            costs.learn(model_id, 1.0, 1)

        assert len(costs._known) <= Costs._MODELS
        assert costs.of(Costs._MODELS + 4) == 1.0


def let_in(gate, by, route):
    """Let one in from whom all has been received."""
    flight = complete(gate.enter(by, route))
    flight.begin()
    return flight


def learned(gate, clock, seconds):
    """A Model whose requests take so long each."""
    route = a_route()
    for _ in range(3):
        flight = let_in(gate, a_caller(), route)
        clock.tick(seconds)
        flight.end()
    clock.tick(60)  # nobody of them is active any more
    return route


def fill(gate, by, route, most=100_000):
    """Let in as many as there is room for."""
    flights = []
    try:
        while len(flights) < most:
            flights.append(let_in(gate, by, route))
    except (Overloaded, TooManyRequests):
        pass
    return flights


def test_how_long_a_request_was_here_is_what_it_costs(gate, clock):
    route = learned(gate, clock, 0.080)

    assert gate.costs.of(route.model_id) == pytest.approx(0.080)


def test_requests_that_were_here_together_have_shared_the_time(gate, clock):
    route = a_route()
    flights = [let_in(gate, a_caller(), route) for _ in range(30)]
    clock.tick(0.060)
    for flight in flights:
        flight.end()

    assert 0.002 <= gate.costs.of(route.model_id) < 0.0025


def test_what_costs_much_fills_the_room_earlier(gate, clock):
    slow, quick = learned(gate, clock, 0.080), learned(gate, clock, 0.0001)

    of_slow = fill(gate, a_caller(), slow)
    for flight in of_slow:
        flight.end()
    clock.tick(60)
    of_quick = fill(gate, a_caller(), quick, most=20_000)

    assert 40 < len(of_slow) < 50  # 3.5 s of 0.08
    assert len(of_quick) == 20_000


def test_a_thousand_connections_of_one_key_are_let_in_at_what_small_models_cost(gate, clock):
    route, by = learned(gate, clock, 0.001), a_caller()

    flights = fill(gate, by, route, most=1_000)

    assert len(flights) == 1_000


def once_a_second(gate, clock, flights, by, few, route, seconds=5):
    """One key keeps as many in flight as it has, another asks once a second; how many were let in of each."""
    in_flight, others = len(flights), 0
    for _ in range(seconds):
        clock.tick(1)
        flight = let_in(gate, few, route)
        others += 1
        for _ in range(in_flight):
            flights.pop(0).end()
            flights.append(let_in(gate, by, route))
        flight.end()
    return others


def test_a_key_that_asks_once_a_second_changes_nothing_for_another(clock):
    gate = Admission(room=ROOM_S, processes=1, costs=Fixed(0.001), wall=clock.wall, steady=clock.steady)
    route, by = a_route(), a_caller()
    flights = fill(gate, by, route, most=1_000)

    assert once_a_second(gate, clock, flights, by, a_caller(), route) == 5
    assert len(flights) == 1_000


def test_where_it_gets_crowded_it_does(clock):
    """Negative control: the same with requests that cost three times as much is beyond what can wait."""
    gate = Admission(room=ROOM_S, processes=1, costs=Fixed(0.003), wall=clock.wall, steady=clock.steady)
    route, by = a_route(), a_caller()
    flights = fill(gate, by, route, most=1_000)
    assert len(flights) == 1_000

    with pytest.raises(
        TooManyRequests, match="has 999 requests in flight, its fair share while 2 keys are active"
    ):
        once_a_second(gate, clock, flights, by, a_caller(), route)


class Fixed(Costs):
    def __init__(self, seconds):
        super().__init__()
        self._seconds = seconds

    def of(self, model_id):
        return self._seconds


class TestBeforeItsBodyIsHere:
    def test_a_request_holds_no_room(self, gate, clock):
        route, by = learned(gate, clock, 0.080), a_caller()

        waiting = [complete(gate.enter(by, route)) for _ in range(500)]

        assert gate.flights.count == 0
        for flight in waiting:
            flight.end()
        assert gate.costs.of(route.model_id) == pytest.approx(0.080)  # and teaches nothing
        let_in(gate, a_caller(), route)

    def test_from_then_on_it_does(self, gate, clock):
        """Negative control: the same requests, received."""
        route, by = learned(gate, clock, 0.080), a_caller()
        waiting = [complete(gate.enter(by, route)) for _ in range(500)]
        for flight in waiting:
            flight.begin()

        with pytest.raises(
            Overloaded, match=r"500 requests for this Model are waiting here: 40\.0 s of work"
        ):
            complete(gate.enter(by, route))

        for flight in waiting:
            flight.end()
        let_in(gate, by, route).end()

    def test_own_limits_hold_already(self, gate):
        by, route = a_caller(concurrency=2), a_route()
        first, _ = (complete(gate.enter(by, route)) for _ in range(2))

        with pytest.raises(TooManyRequests, match="2 requests in flight"):
            complete(gate.enter(by, route))
        first.end()
        complete(gate.enter(by, route))

    def test_without_limits_of_its_own_nobody_is_refused_for_that(self, gate):
        """Negative control."""
        by, route = a_caller(), a_route()

        for _ in range(50):
            complete(gate.enter(by, route))

    @pytest.mark.parametrize("begins", [True, False], ids=["answered", "given up"])
    def test_however_it_ends_nothing_is_left_of_it(self, gate, begins):
        by, route = a_caller(concurrency=1), a_route(concurrency=1)
        for _ in range(3):
            flight = complete(gate.enter(by, route))
            if begins:
                flight.begin()
            flight.end()

        assert (gate.flights.count, gate.flights._by_subject) == (0, {})
