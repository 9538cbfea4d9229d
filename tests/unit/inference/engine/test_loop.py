"""The loop on which queues live, the threads that run batches, and what watches both from outside."""

import asyncio
import threading
import time
from functools import partial

import pytest

from inference.engine import watchdog
from inference.engine.errors import EngineStopped
from inference.engine.loop import EngineLoop, complete
from inference.engine.threads import Runners
from inference.engine.watchdog import StallWatch
from tests.support.processes import wait_until

PATIENCE_S = 20


@pytest.fixture
def loop():
    loop = EngineLoop.in_thread()
    yield loop
    loop.close()


def busy(loop):
    """Keep the loop until the event that is given is set."""
    over, entered = threading.Event(), threading.Event()
    loop.post(lambda: (entered.set(), over.wait(PATIENCE_S)))
    assert entered.wait(PATIENCE_S)
    return over


class TestLoop:
    def test_what_is_posted_meanwhile_is_done_in_one_turn_and_in_order(self, loop, monkeypatch):
        over, done, wakes = busy(loop), [], []
        wake = loop.asyncio.call_soon_threadsafe
        monkeypatch.setattr(loop.asyncio, "call_soon_threadsafe", lambda *a: (wakes.append(a), wake(*a)))

        for number in range(100):
            loop.post(lambda number=number: done.append(number))
        over.set()
        loop.call(lambda: None, PATIENCE_S)

        assert done == list(range(100))
        assert len(wakes) <= 2  # one for the hundred, perhaps one for the question

    def test_nothing_that_many_threads_post_is_lost(self, loop):
        done = []

        def post_often():
            for _ in range(2000):
                loop.post(lambda: done.append(1))

        threads = [threading.Thread(target=post_often) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)

        loop.call(lambda: None, PATIENCE_S)
        assert len(done) == 16_000

    def test_an_error_in_what_was_posted_keeps_nothing_else(self, loop, caplog):
        over, done = busy(loop), threading.Event()
        loop.post(lambda: 1 / 0)
        loop.post(done.set)
        over.set()

        assert done.wait(PATIENCE_S)
        loop.call(lambda: None, PATIENCE_S)
        assert "a posted call failed" in caplog.text

    def test_questions_are_answered_or_raise_what_was_raised(self, loop):
        assert loop.call(lambda: 7, PATIENCE_S) == 7
        assert loop.call(lambda: loop.call(lambda: 8, 0.0), PATIENCE_S) == 8  # on the loop itself
        with pytest.raises(ZeroDivisionError):
            loop.call(lambda: 1 / 0, PATIENCE_S)

    def test_a_question_is_given_up_where_the_loop_is_stuck(self, loop):
        over = busy(loop)

        with pytest.raises(EngineStopped):
            loop.call(lambda: 7, 0.01)
        over.set()

    def test_it_runs_coroutines_of_other_threads(self, loop):
        async def thread():
            await asyncio.sleep(0)
            return threading.current_thread().name

        assert loop.wait_for(thread()) == "engine-loop"

    def test_a_closed_loop_does_what_was_posted_before_and_refuses_the_rest(self):
        loop, done = EngineLoop.in_thread(), []
        over = busy(loop)
        loop.post(lambda: done.append(1))
        over.set()
        loop.close()
        loop.close()

        assert done == [1]
        with pytest.raises(EngineStopped):
            loop.post(lambda: None)


class ATurn:
    """Awaited, it waits until the loop comes round."""

    def __await__(self):
        yield


async def turned():
    await ATurn()
    return "goes on"


class TestLoopOfSomebodyElse:
    """Of a web process: the server makes it, the engine is started, and only then does it run."""

    @pytest.fixture
    def late(self):
        loop = asyncio.new_event_loop()
        yield EngineLoop(loop)
        loop.close()

    def test_what_was_posted_before_it_began_is_done_in_its_order(self, late):
        done = []
        for number in range(3):
            late.post(partial(done.append, number))
        assert (done, late.is_running, late.is_current) == ([], False, False)

        late.asyncio.run_until_complete(turned())

        assert done == [0, 1, 2]

    def test_a_question_that_was_asked_before_is_answered(self, late):
        answers = []
        asking = threading.Thread(target=lambda: answers.append(late.call(lambda: 7, PATIENCE_S)))
        asking.start()
        wait_until(lambda: late._posted, within_s=PATIENCE_S, what="it was asked")

        late.asyncio.run_until_complete(asyncio.to_thread(asking.join, PATIENCE_S))

        assert answers == [7]

    def test_on_it_questions_are_answered_at_once(self, late):
        async def ask():
            return late.is_current, late.is_running, late.call(lambda: 7, 0.0)

        assert late.asyncio.run_until_complete(ask()) == (True, True, 7)

    def test_closing_leaves_the_loop_to_its_owner(self, late):
        late.close()

        assert not late.asyncio.is_closed()
        assert late.asyncio.run_until_complete(turned()) == "goes on"
        with pytest.raises(EngineStopped):
            late.post(lambda: None)

    def test_one_of_its_own_ends_with_it(self):
        """Negative control."""
        loop = EngineLoop.in_thread()

        loop.close()

        assert loop.asyncio.is_closed()

    def test_before_it_begins_it_does_not_stand_still(self, late):
        watch = StallWatch(late, lambda: None, on_stall=pytest.fail)
        try:
            assert [watch.has_turned() for _ in range(3)] == [True] * 3
        finally:
            watch.stop()

    def test_before_it_begins_its_own_thread_runs_coroutines(self, late):
        async def thread():
            await asyncio.sleep(0)
            return threading.get_ident()

        assert late.wait_for(thread()) == threading.get_ident()


class TestComplete:
    def test_what_waits_for_no_loop_gives_what_it_returns_or_raises(self):
        async def inner(value):
            return value

        async def outer():
            return await inner(3) + await inner(4)

        async def fails():
            await inner(1 / 0)

        assert complete(outer()) == 7
        with pytest.raises(ZeroDivisionError):
            complete(fails())

    def test_what_would_wait_for_a_loop_is_an_error_of_ours_and_is_ended(self):
        ended = []

        async def waits():
            try:
                await ATurn()
            finally:
                ended.append(True)

        with pytest.raises(RuntimeError, match="no loop runs in this thread"):
            complete(waits())
        assert ended == [True]


class TestRunners:
    def test_a_run_that_hangs_keeps_no_other_from_beginning(self):
        runners, hangs, over = Runners("run"), threading.Event(), threading.Event()
        runners.run(lambda: (hangs.set(), over.wait(PATIENCE_S)))
        assert hangs.wait(PATIENCE_S)

        done = threading.Event()
        runners.run(done.set)

        assert done.wait(PATIENCE_S)
        over.set()

    def test_idle_threads_are_used_again_and_prepared_once(self):
        prepared, ran = [], []
        runners = Runners("run", on_start=lambda: prepared.append(threading.get_ident()))
        for _ in range(20):
            done = threading.Event()
            runners.run(lambda: (ran.append(threading.get_ident()), done.set()))  # noqa: B023
            assert done.wait(PATIENCE_S)
            wait_until(lambda: runners._idle == 1, within_s=PATIENCE_S, what="it is idle")

        assert len(prepared) == 1 and set(ran) == set(prepared)

    def test_threads_without_work_end(self, monkeypatch):
        monkeypatch.setattr("inference.engine.threads._IDLE_S", 0.01)
        runners, threads = Runners("short-lived"), []
        runners.run(lambda: threads.append(threading.current_thread()))
        wait_until(lambda: threads, within_s=PATIENCE_S, what="it ran")
        threads[0].join(PATIENCE_S)
        assert not threads[0].is_alive()

        done = threading.Event()
        runners.run(done.set)
        assert done.wait(PATIENCE_S)


class TestStallWatch:
    @pytest.fixture
    def watched(self, loop, monkeypatch):
        monkeypatch.setattr(watchdog, "_LOOK_EVERY_S", 0.005)
        stalls, looks = threading.Event(), threading.Semaphore(0)
        watch = StallWatch(loop, looks.release, on_stall=stalls.set)
        yield stalls, looks
        watch.stop()

    def test_a_stuck_loop_is_reported(self, loop, watched):
        stalls, _ = watched
        over = busy(loop)

        assert stalls.wait(PATIENCE_S)
        over.set()

    def test_a_turning_loop_is_not(self, watched):
        stalls, looks = watched
        for _ in range(3 * watchdog._STALLED_LOOKS):
            assert looks.acquire(timeout=PATIENCE_S)

        assert not stalls.is_set()

    def test_two_that_share_a_loop_do_not_take_each_others_questions_for_a_stall(self, loop, monkeypatch):
        """One looks right after the other has asked, each time before the loop comes round."""
        monkeypatch.setattr(watchdog, "_LOOK_EVERY_S", PATIENCE_S)
        first, second = (StallWatch(loop, lambda: None, on_stall=pytest.fail) for _ in range(2))
        for _ in range(2):
            over = busy(loop)

            assert [first.has_turned(), second.has_turned()] == [True, True]
            assert [first.has_turned(), second.has_turned()] == [False, False]
            over.set()
            loop.call(lambda: None, PATIENCE_S)
        for watch in (first, second):
            watch.stop()

    def test_an_error_in_a_look_does_not_end_it(self, loop, monkeypatch, caplog):
        monkeypatch.setattr(watchdog, "_LOOK_EVERY_S", 0.005)
        looks = threading.Semaphore(0)

        def fails():
            looks.release()
            raise ArithmeticError

        watch = StallWatch(loop, fails, on_stall=pytest.fail)
        for _ in range(3):
            assert looks.acquire(timeout=PATIENCE_S)
        watch.stop()

        assert "watching the runs and the loop failed" in caplog.text


def test_soft_limits_are_kept_for_runs_that_come_in_any_order():
    """Each has a deadline before those that the thread sleeps towards."""
    watch = watchdog.RunWatchdog()

    class Options:
        def __init__(self):
            self.ended = threading.Event()

        def __setattr__(self, name, value):
            super().__setattr__(name, value)
            if name == "terminate":
                self.ended.set()

    def begin(seconds):
        limit = watchdog.SoftLimit(watch, Options(), seconds)
        watch.watch(limit)
        return limit

    late = begin(PATIENCE_S * 3)
    soon = [begin(0.2 - number * 0.01) for number in range(20)]

    assert all(limit.run_options.ended.wait(PATIENCE_S) for limit in soon)
    assert not late.is_over
    forgotten = begin(0.01)
    watch.forget(forgotten)
    time_is_over = begin(0.02)
    assert time_is_over.run_options.ended.wait(PATIENCE_S)
    assert not forgotten.is_over and time.monotonic() > forgotten.deadline
