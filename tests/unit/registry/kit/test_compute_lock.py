"""Threads beside the event loop compute one at a time, and none waits that could go on."""

import threading

import pytest

from registry.kit.compute_lock import ComputeLock
from tests.support.together import in_threads

WAIT_S = 20


class Counted:
    """How many threads were inside at once."""

    def __init__(self):
        self._lock, self._inside, self.most = threading.Lock(), 0, 0

    def __enter__(self):
        with self._lock:
            self._inside += 1
            self.most = max(self.most, self._inside)

    def __exit__(self, *_):
        with self._lock:
            self._inside -= 1


def most_at_once(taken):
    """Of four threads that compute; each comes only when all have begun."""
    counted, all_here = Counted(), threading.Barrier(4)

    def compute(_):
        all_here.wait(WAIT_S)
        for _ in range(200):
            with taken(), counted:
                sum(range(500))

    assert in_threads(4, compute) == []
    return counted.most


def test_one_computes_at_a_time():
    assert most_at_once(ComputeLock(WAIT_S).held) == 1


def test_without_the_lock_several_do():
    """Negative control: two meet inside, which the lock would prevent."""
    meeting = threading.Barrier(2)

    assert in_threads(2, lambda _: meeting.wait(WAIT_S)) == []


def test_who_waits_for_something_else_lets_others_compute():
    lock = ComputeLock(WAIT_S)
    waits, computed = threading.Event(), threading.Event()

    def wait(_):
        with lock.held(), lock.released():
            waits.set()
            assert computed.wait(WAIT_S)
            assert not lock.is_mine

    def compute():
        assert waits.wait(WAIT_S)
        with lock.held():
            assert lock.is_mine
        computed.set()

    other = threading.Thread(target=compute)
    other.start()
    assert in_threads(1, wait) == []
    other.join(WAIT_S)
    assert computed.is_set()


def test_the_lock_is_taken_again_after_the_wait():
    lock = ComputeLock(WAIT_S)

    with lock.held():
        assert lock.released_for_query(lambda *query: (query, lock.is_mine), "SELECT 1", None) == (
            ("SELECT 1", None),
            False,
        )
        assert lock.is_mine

    assert not lock.is_mine


def test_a_wait_inside_a_wait_takes_the_lock_once():
    """A version is loaded while its caller waits for an answer: the thread must not wait for a lock that it holds."""
    lock = ComputeLock(WAIT_S)

    with lock.held():
        with lock.released():
            lock.released_for_query(lambda: None)
            with lock.released():
                assert not lock.is_mine
            assert not lock.is_mine
        assert lock.is_mine

    with lock.held():
        assert lock.is_mine


def test_a_thread_that_does_not_get_the_lock_in_time_works_without_it():
    lock = ComputeLock(patience_s=0.01)
    held, done = threading.Event(), threading.Event()

    def hold():
        with lock.held():
            held.set()
            assert done.wait(WAIT_S)

    other = threading.Thread(target=hold)
    other.start()
    assert held.wait(WAIT_S)
    with lock.held():
        assert not lock.is_mine
        with lock.released():
            done.set()
            other.join(WAIT_S)
        assert not lock.is_mine  # though it is free now: it does not try again

    with lock.held():
        assert lock.is_mine


def test_a_thread_that_does_not_take_part_stays_out():
    lock = ComputeLock(WAIT_S)

    with lock.released():
        assert not lock.is_mine

    assert not lock.is_mine


def test_an_error_releases_the_lock():
    lock = ComputeLock(WAIT_S)
    with pytest.raises(ZeroDivisionError), lock.held():
        raise ZeroDivisionError

    assert in_threads(1, lambda _: lock.held().__enter__()) == []
