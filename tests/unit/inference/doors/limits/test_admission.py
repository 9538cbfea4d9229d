import pytest

from inference.doors.limits.admission import admission as this_process
from inference.engine.errors import Overloaded
from inference.errors import LimitsUnavailable, TooManyRequests
from registry.access.limits import CallerLimits
from tests.support.callers import (
    NOON,
    Clock,
    MemoryStore,
    a_caller,
    a_gate,
    a_route,
    enter,
    is_let_in,
    leave,
    passes,
)
from tests.support.together import in_threads

ROUTE = a_route()


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def started():
    """Start gates that stop with the test."""
    gates = []

    def start(gate, store):
        gates.append(gate)
        gate.start(store)
        return gate

    yield start
    for gate in gates:
        gate.stop()


def test_this_process_has_a_gate_that_needs_no_start():
    by = a_caller()

    enter(this_process, by, ROUTE)
    leave(this_process, by, ROUTE)


def test_a_gate_can_be_stopped_before_its_start():
    a_gate().stop()


def each_of_three(**limits):
    """A key, a tenant or a Model with these limits."""
    table = {
        "key": (a_caller(**limits), ROUTE, "The key 'key-"),
        "tenant": (a_caller(tenant_limits=CallerLimits(**limits)), ROUTE, "The tenant 'night-shift'"),
        "model": (a_caller(), a_route(**limits), "The Model 'model-"),
    }
    return pytest.mark.parametrize(("by", "route", "whose"), table.values(), ids=table)


@each_of_three(rate_per_minute=3)
def test_each_of_three_may_have_a_rate(by, route, whose):
    gate = a_gate()

    assert passes(gate, by, route, 3) == 3
    with pytest.raises(TooManyRequests, match=f"{whose}.* is limited to 3 requests a minute"):
        enter(gate, by, route)


@each_of_three(concurrency=5)
def test_each_of_three_may_have_a_number_in_flight_divided_over_processes(by, route, whose):
    gate = a_gate(processes=2)
    for _ in range(3):
        enter(gate, by, route)

    with pytest.raises(TooManyRequests, match=f"{whose}.* may have 5 requests in flight") as refused:
        enter(gate, by, route)

    assert refused.value.retry_after_s == 1
    leave(gate, by, route)
    enter(gate, by, route)


def test_keys_of_a_tenant_share_its_limits():
    gate, limits = a_gate(), CallerLimits(rate_per_minute=4, concurrency=2)
    one, other = (a_caller(tenant_limits=limits) for _ in range(2))

    assert [is_let_in(gate, by, ROUTE) for by in (one, other, one)] == [True, True, False]
    leave(gate, other, ROUTE)
    assert is_let_in(gate, one, ROUTE)


def test_a_request_that_one_limit_refuses_costs_the_others_nothing():
    gate, by = a_gate(), a_caller(rate_per_minute=5)
    narrow = a_route(rate_per_minute=1)

    assert passes(gate, by, narrow, 4) == 1
    assert passes(gate, by, ROUTE, 10) == 4


@pytest.mark.parametrize("limits", [{"concurrency": 1}, {}], ids=["own-limit", "full-process"])
def test_a_request_that_finds_no_place_costs_no_token(limits):
    gate, by = a_gate(room=1), a_caller(rate_per_minute=2, **limits)
    enter(gate, by, ROUTE)

    assert [is_let_in(gate, by, ROUTE) for _ in range(5)] == [False] * 5

    leave(gate, by, ROUTE)
    assert passes(gate, by, ROUTE, 5) == 1


def flood(gate, rounds=50):
    """One key takes every place that falls free before another gets to ask; return how often the other was let in."""
    many, few = a_caller(), a_caller()
    in_flight = passed = 0
    while is_let_in(gate, many, ROUTE):
        in_flight += 1
    for _ in range(rounds):
        leave(gate, many, ROUTE)
        in_flight -= 1
        in_flight += is_let_in(gate, many, ROUTE)
        passed += passes(gate, few, ROUTE, 1)
    return passed


def test_a_flood_of_one_key_keeps_nobody_out():
    assert flood(a_gate(room=32, processes=2), rounds=16) == 16


def test_without_fair_shares_the_same_flood_keeps_the_other_key_out():
    assert flood(a_gate(room=32, processes=2, crowded_from=1.0)) == 0


def test_a_refusal_by_fair_share_is_the_callers_and_by_room_ours():
    gate, many, few = a_gate(room=8), a_caller(), a_caller()
    for _ in range(7):
        enter(gate, many, ROUTE)

    with pytest.raises(Overloaded):
        enter(gate, many, ROUTE)
    enter(gate, few, ROUTE)
    with pytest.raises(TooManyRequests):
        enter(gate, many, ROUTE)


def test_threads_leave_nothing_behind():
    gate = a_gate(room=1000)
    route = a_route(concurrency=1000)

    assert in_threads(8, lambda _: passes(gate, a_caller(concurrency=9), route, 500)) == []

    assert gate.flights.count == 0
    assert not gate.flights._by_subject


def test_processes_share_a_rate(started, store):
    gates = [started(a_gate(processes=2), store) for _ in range(2)]
    by = a_caller(rate_per_minute=40)
    for gate in gates:
        passes(gate, by, ROUTE, 2)
        gate.stop()  # waits until what was wanted has been fetched

    assert 4 <= store.used[f"key:{by.key_id}", NOON] <= 8


def test_an_exact_rate_asks_the_counter_for_every_request(started, store):
    gate, by = started(a_gate(), store), a_caller(rate_per_minute=3, is_exact=True)

    assert passes(gate, by, ROUTE, 2) == 2
    assert store.used == {(f"key:{by.key_id}", NOON): 2}


def test_an_exact_rate_that_is_used_up_says_when_to_come_again(started, store):
    clock = Clock()
    gate, by = started(a_gate(clock), store), a_caller(rate_per_minute=3, is_exact=True)
    clock.tick(20)

    assert passes(gate, by, ROUTE, 9) == 3
    with pytest.raises(TooManyRequests, match="has used all 3 requests for this minute") as refused:
        enter(gate, by, ROUTE)
    assert refused.value.retry_after_s == 40


def test_an_exact_rate_without_its_counter_lets_nothing_pass(started, store):
    gate, by = started(a_gate(room=1), store), a_caller(rate_per_minute=3, is_exact=True)
    store.is_down = True

    with pytest.raises(LimitsUnavailable):
        enter(gate, by, ROUTE)

    assert is_let_in(gate, a_caller(), ROUTE)


def test_before_the_start_an_exact_rate_is_counted_here():
    gate, by = a_gate(processes=2), a_caller(rate_per_minute=4, is_exact=True)

    assert passes(gate, by, ROUTE, 9) == 2


def test_what_an_exact_rate_refuses_costs_the_others_nothing(started, store):
    gate = started(a_gate(), store)
    by = a_caller(rate_per_minute=5, tenant_limits=CallerLimits(rate_per_minute=10, is_exact=True))
    narrow = a_route(rate_per_minute=1, is_exact=True)

    assert passes(gate, by, narrow, 4) == 1

    assert store.used["tenant:1", NOON] == 1
    assert gate._tokens._allowances[f"key:{by.key_id}"].spent == 1
    assert gate.flights.count == 0


def test_a_full_process_asks_the_counter_nothing(started, store):
    gate, by = started(a_gate(room=1), store), a_caller(rate_per_minute=3, is_exact=True)
    enter(gate, by, ROUTE)

    for _ in range(5):
        assert not is_let_in(gate, by, ROUTE)

    assert store.used == {(f"key:{by.key_id}", NOON): 1}
