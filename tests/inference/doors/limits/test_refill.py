import threading

import pytest
from structlog.testing import capture_logs

from inference.doors.limits import refill
from inference.doors.limits.limited import Limited
from inference.doors.limits.minutes import Minutes
from inference.doors.limits.refill import Refiller
from inference.doors.limits.tokens import Tokens
from registry.access.limits import Limits
from tests.inference.doors.limits.callers import NOON, WAIT_S, Clock, MemoryStore

ONE = Limited("key", 1, "one", Limits(rate_per_minute=100))


class Watched(Tokens):
    """Tells when an answer was taken in."""

    def __init__(self):
        clock = Clock()
        minutes = Minutes(wall=clock.wall, steady=clock.steady)
        super().__init__(processes=2, minutes=minutes, lock=threading.Lock())
        self.settled = threading.Event()

    def settle(self, ask, granted):
        super().settle(ask, granted)
        self.settled.set()


class Moody(MemoryStore):
    """Fails as often as told, with what nobody foresaw."""

    def __init__(self, failures):
        super().__init__()
        self.failures = failures

    def take(self, *ask):
        if self.failures:
            self.failures -= 1
            raise RuntimeError("no mood")
        return super().take(*ask)


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(refill, "_AGAIN_S", 0.001)


@pytest.fixture
def tokens():
    return Watched()


def spend(tokens):
    tokens.check(ONE)
    tokens.spend(ONE)


def words(logs):
    return [(line["log_level"], line["event"]) for line in logs]


@pytest.mark.parametrize("failures", [0, 3], ids=["at-once", "after-errors"])
def test_what_is_wanted_is_fetched_whatever_happens_first(tokens, failures):
    store = Moody(failures)
    refiller = Refiller(tokens, store)
    refiller.start()

    spend(tokens)

    assert tokens.settled.wait(WAIT_S)
    refiller.stop()
    assert store.used == {("key:1", NOON): 6}


def test_a_process_that_was_stopped_goes_alone(tokens):
    refiller = Refiller(tokens, MemoryStore())
    refiller.start()

    refiller.stop()

    for _ in range(50):
        spend(tokens)


def test_an_outage_is_told_once_and_its_end_too(tokens):
    store = MemoryStore()
    refiller = Refiller(tokens, store)
    tokens.go_together()
    store.is_down = True
    spend(tokens)

    with capture_logs() as logs:
        refiller.fetch()
        refiller.fetch()
        store.is_down = False
        refiller.fetch()
        refiller.fetch()

    assert words(logs) == [
        ("warning", "the counter of requests is away; each process allows its part"),
        ("info", "the counter of requests answers again"),
    ]


def test_in_an_outage_a_process_allows_its_part_and_keeps_asking(tokens):
    store = MemoryStore()
    refiller = Refiller(tokens, store)
    tokens.go_together()
    store.is_down = True

    spend(tokens)
    refiller.fetch()
    for _ in range(49):
        spend(tokens)

    assert tokens.wanted.is_set()
    store.is_down = False
    refiller.fetch()
    assert store.used == {("key:1", NOON): 55}


def test_counters_of_past_minutes_are_swept(tokens):
    store = MemoryStore()

    Refiller(tokens, store).sweep()

    assert store.swept == [NOON - 5]


def test_a_sweep_that_fails_is_an_outage(tokens):
    store = MemoryStore()
    store.is_down = True

    with capture_logs() as logs:
        Refiller(tokens, store).sweep()

    assert [line["log_level"] for line in logs] == ["warning"]
