import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.doors.limits.rates import BLOCKS, LimitSubject, Minutes, Tokens
from inference.errors import TooManyRequests
from registry.access.limits import CallerLimits
from tests.support.callers import Clock, MemoryStore


class Process:
    """The tokens of one process, and what it has let through."""

    def __init__(self, store, processes=1, clock=None, **more):
        clock = clock or Clock()
        minutes = Minutes(wall=clock.wall, steady=clock.steady)
        self.store = store
        self.tokens = Tokens(processes=processes, minutes=minutes, lock=threading.Lock(), **more)
        self.tokens.use_shared_counter()

    def spend(self, one, times=1):
        """Ask until refused, at most so often; return how many passed."""
        for passed in range(times):
            try:
                self.tokens.check(one)
            except TooManyRequests:
                return passed
            self.tokens.spend(one)
        return times

    def fetch(self):
        for ask in self.tokens.requests():
            self.tokens.settle(ask, self.store.take(*ask))

    def spend_and_fetch(self, one, times=1):
        for _ in range(times):
            self.spend(one)
            self.fetch()

    def refusal(self, one):
        with pytest.raises(TooManyRequests) as refused:
            self.tokens.check(one)
        return refused.value


def a_key(rate, number=1):
    return LimitSubject("key", number, f"key-{number}", CallerLimits(rate_per_minute=rate))


def block_of(rate, processes):
    return max(1, rate // (BLOCKS * processes))


STEPS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 200)), max_size=60)


@given(rate=st.integers(1, 3000), processes=st.integers(1, 4), steps=STEPS, at_last=st.integers(0, 3))
def test_all_processes_together_miss_a_rate_by_a_block_each_at_most(rate, processes, steps, at_last):
    store, one = MemoryStore(), a_key(rate)
    all_of_them = [Process(store, processes) for _ in range(processes)]

    passed = 0
    for number, times in steps:  # 0: the counter answers, otherwise so many requests come
        process = all_of_them[number % processes]
        passed += process.spend(one, times)
        if not times:
            process.fetch()
    process = all_of_them[at_last % processes]
    for _ in range(4 * BLOCKS * processes + 2):  # steady demand on one of them
        passed += process.spend(one, rate)
        process.fetch()

    slack = processes * block_of(rate, processes)
    assert rate - slack <= passed <= rate + slack


def test_before_the_counter_answers_one_block_may_be_spent():
    process, one = Process(MemoryStore(), processes=2), a_key(100)

    assert process.spend(one, 100) == block_of(100, 2)
    refused = process.refusal(one)
    assert (refused.retry_after_s, refused.retryable) == (1, True)


def test_a_rate_that_is_used_up_is_refused_until_the_minute_ends():
    clock = Clock()
    process, one = Process(MemoryStore(), clock=clock), a_key(3)
    clock.tick(18)
    process.spend_and_fetch(one, 4)

    refused = process.refusal(one)

    assert refused.retry_after_s == 42
    assert str(refused) == (
        "The key 'key-1' has used all 3 requests for this minute. "
        "Try again in 42 s, or ask an administrator for a higher limit."
    )
    clock.tick(42)
    assert process.spend(one) == 1


def test_tokens_are_asked_for_in_time():
    process, one = Process(MemoryStore()), a_key(1000)
    process.spend_and_fetch(one)
    process.tokens.wanted.clear()

    process.spend(one, 50)
    assert not process.tokens.wanted.is_set()
    process.spend(one)
    assert process.tokens.wanted.is_set()


def test_credit_is_paid_back():
    process, one = Process(MemoryStore()), a_key(1000)
    process.spend(one, 70)

    process.fetch()

    assert [*process.store.used.values()] == [170]
    assert process.spend(one, 1000) == 100


def test_nobody_asks_where_nothing_is_left():
    process, one = Process(MemoryStore()), a_key(1)
    process.spend_and_fetch(one)

    process.refusal(one)

    assert process.tokens.requests() == []


def test_a_higher_limit_holds_at_once_and_gives_no_second_credit():
    process = Process(MemoryStore())
    process.spend(a_key(100), 10)

    assert process.spend(a_key(200), 100) == 0
    process.fetch()
    assert process.spend(a_key(200), 100) == 20


def test_a_limit_that_is_raised_opens_a_minute_that_was_used_up():
    process = Process(MemoryStore())
    process.spend_and_fetch(a_key(1), 3)
    assert process.refusal(a_key(1)).retry_after_s > 1

    assert process.refusal(a_key(10)).retry_after_s == 1
    process.fetch()

    assert process.spend(a_key(10)) == 1


def test_an_answer_for_the_last_minute_is_not_taken_for_this_one():
    clock = Clock()
    process, one = Process(MemoryStore(), clock=clock), a_key(100)
    process.spend(one, 10)
    (late,) = process.tokens.requests()
    clock.tick(60)
    process.spend(one, 10)

    process.tokens.settle(late, late.amount)

    assert process.spend(one) == 0
    assert process.tokens.wanted.is_set()
    process.fetch()
    assert process.spend(one, 100) == 10


def test_without_the_counter_a_process_spends_its_part():
    process, one = Process(MemoryStore(), processes=3), a_key(100)
    process.tokens.use_local_share()

    assert process.spend(one, 100) == 34
    assert process.refusal(one).retry_after_s == 1


def test_what_was_granted_before_an_outage_is_part_of_the_part():
    process, one = Process(MemoryStore(), processes=2), a_key(100)
    process.spend(one, 5)
    process.fetch()
    process.tokens.use_local_share()

    assert process.spend(one, 100) == 45


def test_what_was_spent_in_an_outage_is_counted_after_it():
    process, one = Process(MemoryStore(), processes=2), a_key(100)
    process.tokens.use_local_share()
    process.spend(one, 30)

    process.tokens.use_shared_counter()
    process.fetch()

    assert [*process.store.used.values()] == [35]
    assert process.spend(one, 100) == 5


def test_a_rate_that_was_used_up_stays_so_in_an_outage():
    process, one = Process(MemoryStore()), a_key(2)
    process.spend_and_fetch(one, 3)

    process.tokens.use_local_share()

    assert process.spend(one) == 0


def test_only_so_many_are_remembered():
    process = Process(MemoryStore(), most_subjects=3)

    for number in range(10):
        process.spend(a_key(100, number))

    assert [ask.subject for ask in process.tokens.requests()] == ["key:7", "key:8", "key:9"]


def test_past_minutes_are_dropped():
    clock = Clock()
    process = Process(MemoryStore(), clock=clock)
    process.spend(a_key(100, 1))
    clock.tick(60)
    process.spend(a_key(100, 2))

    process.tokens.drop_idle()

    assert [ask.subject for ask in process.tokens.requests()] == ["key:2"]


def test_an_answer_for_one_that_was_dropped_is_no_error():
    clock = Clock()
    process = Process(MemoryStore(), clock=clock)
    process.spend(a_key(100))
    (ask,) = process.tokens.requests()
    clock.tick(60)
    process.tokens.drop_idle()

    process.tokens.settle(ask, ask.amount)

    assert process.tokens.requests() == []
