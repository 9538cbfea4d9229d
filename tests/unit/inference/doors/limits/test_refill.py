import threading

import pytest

from inference.doors.limits.counters import Refiller
from inference.doors.limits.rates import LimitSubject, Minutes, Tokens
from inference.errors import LimitsUnavailable
from registry.access.limits import CallerLimits
from registry.kit.loops import Backoff
from tests.support.callers import NOON, WAIT_S, Clock, MemoryStore

ONE = LimitSubject("key", 1, "one", CallerLimits(rate_per_minute=100))


class Watched(Tokens):
    """Tells when an answer was taken in."""

    def __init__(self):
        clock = Clock()
        minutes = Minutes(wall=clock.wall, steady=clock.steady)
        super().__init__(processes=2, minutes=minutes, lock=threading.Lock())
        self.settled = threading.Event()

    @property
    def is_alone(self):
        return self._is_alone

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
    monkeypatch.setattr(Backoff, "after", lambda self, failures: 0.001)


@pytest.fixture
def tokens():
    return Watched()


def spend(tokens):
    tokens.check(ONE)
    tokens.spend(ONE)


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


def test_an_ask_that_fails_oddly_keeps_no_other_from_being_answered(tokens):
    other = LimitSubject("key", 2, "two", CallerLimits(rate_per_minute=100))
    for one in (ONE, other):
        tokens.check(one)
        tokens.spend(one)
    store = Moody(failures=1)

    with pytest.raises(RuntimeError):
        Refiller(tokens, store).fetch()

    assert list(store.used) == [("key:2", NOON)]


def test_an_outage_ends_with_the_first_answer(tokens):
    store = MemoryStore()
    refiller = Refiller(tokens, store)
    store.is_down = True
    spend(tokens)
    with pytest.raises(LimitsUnavailable):
        refiller.fetch()
    assert tokens.is_alone

    store.is_down = False
    refiller.fetch()

    assert not tokens.is_alone


def test_in_an_outage_a_process_allows_its_part_and_keeps_asking(tokens):
    store = MemoryStore()
    refiller = Refiller(tokens, store)
    tokens.use_shared_counter()
    store.is_down = True

    spend(tokens)
    with pytest.raises(LimitsUnavailable):
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
