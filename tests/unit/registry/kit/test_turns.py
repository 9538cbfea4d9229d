"""Threads that compute beside a loop take turns, and keep nobody waiting who could go on."""

import threading

import pytest

from registry.kit.turns import Turns
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
    assert most_at_once(Turns(WAIT_S).taken) == 1


def test_without_turns_several_do():
    """Negative control: two meet inside, which the turn would keep from happening."""
    meeting = threading.Barrier(2)

    assert in_threads(2, lambda _: meeting.wait(WAIT_S)) == []


def test_who_waits_for_something_else_lets_others_compute():
    turns = Turns(WAIT_S)
    waits, computed = threading.Event(), threading.Event()

    def wait(_):
        with turns.taken(), turns.let_go():
            waits.set()
            assert computed.wait(WAIT_S)
            assert not turns.is_mine

    def compute():
        assert waits.wait(WAIT_S)
        with turns.taken():
            assert turns.is_mine
        computed.set()

    other = threading.Thread(target=compute)
    other.start()
    assert in_threads(1, wait) == []
    other.join(WAIT_S)
    assert computed.is_set()


def test_the_turn_is_taken_again_after_the_wait():
    turns = Turns(WAIT_S)

    with turns.taken():
        assert turns.while_asked(lambda *query: (query, turns.is_mine), "SELECT 1", None) == (
            ("SELECT 1", None),
            False,
        )
        assert turns.is_mine

    assert not turns.is_mine


def test_a_wait_inside_a_wait_ends_without_the_turn_and_loses_it_to_nobody():
    """A version is loaded while its caller waits for an answer: the thread must not wait for what it holds itself."""
    turns = Turns(WAIT_S)

    with turns.taken():
        with turns.let_go():
            turns.while_asked(lambda: None)
            with turns.let_go():
                assert not turns.is_mine
            assert not turns.is_mine
        assert turns.is_mine

    with turns.taken():
        assert turns.is_mine


def test_who_gets_no_turn_in_time_goes_on_without_to_its_end():
    turns = Turns(patience_s=0.01)
    held, done = threading.Event(), threading.Event()

    def hold():
        with turns.taken():
            held.set()
            assert done.wait(WAIT_S)

    other = threading.Thread(target=hold)
    other.start()
    assert held.wait(WAIT_S)
    with turns.taken():
        assert not turns.is_mine
        with turns.let_go():
            done.set()
            other.join(WAIT_S)
        assert not turns.is_mine  # though it is free now: no further wait, no further turn

    with turns.taken():
        assert turns.is_mine


def test_a_thread_that_takes_no_turns_is_not_made_to():
    turns = Turns(WAIT_S)

    with turns.let_go():
        assert not turns.is_mine

    assert not turns.is_mine


def test_an_error_gives_the_turn_back():
    turns = Turns(WAIT_S)
    with pytest.raises(ZeroDivisionError), turns.taken():
        raise ZeroDivisionError

    assert in_threads(1, lambda _: turns.taken().__enter__()) == []
