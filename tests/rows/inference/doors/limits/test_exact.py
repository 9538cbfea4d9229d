import threading
import uuid

import pytest
from django.db import connection

from inference.doors.limits.admission import take_all
from inference.doors.limits.rates import LimitSubject
from inference.errors import LimitsUnavailable, TooManyRequests
from inference.serving.routes import Route
from registry.access.limits import CallerLimits
from tests.rows.inference.doors.limits.test_counters import STORES, closed_at_the_end
from tests.support.callers import NOON, WAIT_S, Clock, MemoryStore, a_caller, a_gate, passes
from tests.support.together import in_threads

REQUESTS, MINUTES, LIMIT = 200, 5, 100

KEY, TENANT, MODEL = (
    LimitSubject(kind, 1, "one", CallerLimits(rate_per_minute=5, is_exact=True))
    for kind in ("key", "tenant", "Model")
)


class FailsFor(MemoryStore):
    """Does not answer for one of its subjects, and takes nothing back."""

    def __init__(self, subject):
        super().__init__()
        self._subject = subject

    def take(self, subject, *ask):
        self.is_down = subject == self._subject
        return super().take(subject, *ask)


def test_each_is_counted():
    store = MemoryStore()

    take_all(store, [KEY, TENANT, MODEL], NOON, 30)

    assert set(store.used.values()) == {1}


def test_what_one_refuses_is_given_back_to_the_others():
    store = MemoryStore()
    store.used["Model:1", NOON] = 5

    with pytest.raises(TooManyRequests, match="The Model 'one' has used all 5") as refused:
        take_all(store, [KEY, TENANT, MODEL], NOON, 30)

    assert refused.value.retry_after_s == 30
    assert (store.used["key:1", NOON], store.used["tenant:1", NOON]) == (0, 0)


def test_a_counter_that_fails_half_way_refuses():
    with pytest.raises(LimitsUnavailable):
        take_all(FailsFor("Model:1"), [KEY, TENANT, MODEL], NOON, 30)


@pytest.fixture(params=STORES)
def store(request):
    yield from closed_at_the_end(request.param)


def test_threads_at_once_pass_exactly_as_often_as_the_limit_says(store):
    clock, passed = Clock(), []
    gates = [a_gate(clock, processes=4) for _ in range(4)]
    for gate in gates:
        gate.start(store)
    by, route = a_caller(), Route("m", uuid.uuid4().int >> 80, limits=CallerLimits(LIMIT, is_exact=True))
    # PostgreSQL has 100 connections: there each thread asks several times.
    threads = 40 if connection.vendor == "postgresql" else REQUESTS
    next_minute = threading.Barrier(threads, action=lambda: (clock.tick(60), passed.append([])))

    def ask(number):
        gate = gates[number % 4]
        for _ in range(MINUTES):
            next_minute.wait(WAIT_S)
            for _ in range(REQUESTS // threads):
                passed[-1].append(passes(gate, by, route, 1))
        connection.close()

    assert in_threads(threads, ask) == []
    for gate in gates:
        gate.stop()

    assert [len(minute) for minute in passed] == [REQUESTS] * MINUTES
    assert [sum(minute) for minute in passed] == [LIMIT] * MINUTES
