import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from inference.checks.runner import CheckQueue


def test_items_without_a_place_are_done_by_its_holder():
    queue, done, go_on, began = CheckQueue(1), [], threading.Event(), threading.Event()

    def work(item):
        began.set()
        go_on.wait(10)
        done.append((item, threading.current_thread().name))

    first = threading.Thread(target=queue.do, args=("a", work), name="first")
    first.start()
    assert began.wait(10)
    queue.do("b", work)  # returns at once: this thread is free for something else
    queue.do("c", work)
    assert done == []

    go_on.set()
    first.join(10)

    assert done == [("a", "first"), ("b", "first"), ("c", "first")]


def test_an_item_added_twice_before_its_turn_is_done_once():
    queue, done = CheckQueue(1), []

    def work(item):
        done.append(item)
        if len(done) == 1:
            for again in ("second", "second", "first"):
                queue.do(again, work)

    queue.do("first", work)

    assert done == ["first", "second", "first"]


def test_only_so_many_run_at_once_and_none_is_left():
    queue, lock, done = CheckQueue(2), threading.Lock(), []
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
        list(threads.map(lambda number: queue.do(number, work), range(50)))

    assert sorted(done) == list(range(50))
    assert 1 <= most <= 2


@pytest.mark.parametrize("places", [1, 2])
def test_an_error_stops_no_other_item(places):
    queue, done = CheckQueue(places), []

    def work(item):
        if item == "bad":
            raise ValueError(item)
        done.append(item)

    queue.do("bad", work)
    queue.do("good", work)

    assert done == ["good"]
