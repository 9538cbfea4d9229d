import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from inference.checks.runner import CheckQueue


def test_what_finds_no_place_is_done_by_who_has_one():
    turns, done, go_on, began = CheckQueue(1), [], threading.Event(), threading.Event()

    def work(item):
        began.set()
        go_on.wait(10)
        done.append((item, threading.current_thread().name))

    first = threading.Thread(target=turns.do, args=("a", work), name="first")
    first.start()
    assert began.wait(10)
    turns.do("b", work)  # returns at once: this thread is free for something else
    turns.do("c", work)
    assert done == []

    go_on.set()
    first.join(10)

    assert done == [("a", "first"), ("b", "first"), ("c", "first")]


def test_what_is_asked_for_again_before_its_turn_is_done_once():
    turns, done = CheckQueue(1), []

    def work(item):
        done.append(item)
        if len(done) == 1:
            for again in ("second", "second", "first"):
                turns.do(again, work)

    turns.do("first", work)

    assert done == ["first", "second", "first"]


def test_no_more_than_the_places_are_taken_and_nothing_is_left():
    turns, lock, done = CheckQueue(2), threading.Lock(), []
    at_once, most = 0, 0

    def work(item):
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        with lock:
            at_once -= 1
            done.append(item)

    with ThreadPoolExecutor(50) as threads:
        list(threads.map(lambda number: turns.do(number, work), range(50)))

    assert sorted(done) == list(range(50))
    assert 1 <= most <= 2


@pytest.mark.parametrize("places", [1, 2])
def test_an_error_keeps_nobody_waiting(places):
    turns, done = CheckQueue(places), []

    def work(item):
        if item == "bad":
            raise ValueError(item)
        done.append(item)

    turns.do("bad", work)
    turns.do("good", work)

    assert done == ["good"]
