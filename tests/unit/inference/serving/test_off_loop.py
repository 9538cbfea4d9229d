"""Work that would hold the loop up: in threads of a bounded number, refused where it would wait too long."""

import asyncio
import gc
import threading
import weakref
from contextlib import suppress
from functools import partial

import pytest

from inference.engine.errors import Overloaded
from inference.serving.off_loop import WorkThreads, off_loop

WAIT_S = 20


class Held:
    """Work that has begun and lasts until `release`."""

    def __init__(self):
        self.begun, self._release = threading.Semaphore(0), threading.Event()

    def __call__(self):
        self.begun.release()
        assert self._release.wait(WAIT_S)
        return "done"

    def release(self):
        self._release.set()

    async def has_begun(self):
        assert await asyncio.to_thread(self.begun.acquire, timeout=WAIT_S)


@pytest.fixture
def made():
    threads = []

    def make(number=1, *, most_waiting=10, wait_s=WAIT_S, **options):
        threads.append(WorkThreads("test", number, most_waiting=most_waiting, wait_s=wait_s, **options))
        return threads[-1]

    yield make
    for one in threads:
        one.close()


@pytest.fixture
def held():
    held = Held()
    yield held
    held.release()


def test_it_is_done_in_a_thread_and_comes_back(made):
    async def ask():
        return await made().run(threading.current_thread)

    assert asyncio.run(ask()).name.startswith("test")


def test_what_it_raises_comes_back(made):
    async def ask():
        await made().run(lambda: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        asyncio.run(ask())


def test_an_error_keeps_nothing_once_it_is_dealt_with(made):
    """It has a traceback, whose frames have what the work had in its hands: megabytes, until a collection comes by."""

    class Much:
        pass

    kept = []

    def fail():
        much = Much()
        kept.append(weakref.ref(much))
        raise ZeroDivisionError

    async def ask():
        with suppress(ZeroDivisionError):
            await made().run(fail)
        await asyncio.sleep(0)

    gc.disable()
    try:
        asyncio.run(ask())
        assert kept[0]() is None
    finally:
        gc.enable()


def test_the_loop_goes_on_meanwhile(made, held):
    async def ask():
        job = asyncio.ensure_future(made().run(held))
        await held.has_begun()
        held.release()  # by the loop: it would never come to this otherwise
        return await job

    assert asyncio.run(ask()) == "done"


def test_no_more_are_at_work_than_there_are_threads(made, held):
    async def ask():
        threads = made(2)
        jobs = [asyncio.ensure_future(threads.run(held)) for _ in range(5)]
        for _ in range(2):
            await held.has_begun()
        third_began = held.begun.acquire(blocking=False)
        held.release()
        return third_began, await asyncio.gather(*jobs)

    assert asyncio.run(ask()) == (False, ["done"] * 5)


def test_what_finds_too_many_waiting_is_refused_at_once(made, held):
    async def ask():
        threads = made(1, most_waiting=2)
        jobs = [asyncio.ensure_future(threads.run(held)) for _ in range(3)]
        await held.has_begun()
        with pytest.raises(Overloaded, match="All 1 threads"):
            await threads.run(held)
        held.release()
        await asyncio.gather(*jobs)
        return await threads.run(lambda: "there is room again")

    assert asyncio.run(ask()) == "there is room again"


def test_what_has_waited_too_long_is_refused_and_never_done(made, held):
    done = []

    async def ask():
        threads = made(1, wait_s=0.05)
        first = asyncio.ensure_future(threads.run(held))
        await held.has_begun()
        with pytest.raises(Overloaded):
            await threads.run(partial(done.append, 1))
        held.release()
        await first
        await threads.run(lambda: None)

    asyncio.run(ask())
    assert done == []


def test_what_has_begun_is_not_refused_however_long_it_takes(made, held):
    async def ask():
        threads = made(1, wait_s=0.05)
        first = asyncio.ensure_future(threads.run(held))
        await held.has_begun()
        with pytest.raises(Overloaded):  # its wait is over, and so is that of the first
            await threads.run(lambda: None)
        is_over = first.done()
        held.release()
        return is_over, await first

    assert asyncio.run(ask()) == (False, "done")


def test_a_task_that_somebody_cancels_is_cancelled_and_not_refused(made, held):
    async def ask():
        threads = made(1)
        first = asyncio.ensure_future(threads.run(held))
        await held.has_begun()
        waiting = asyncio.ensure_future(threads.run(lambda: None))
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        held.release()
        return await waiting

    asyncio.run(ask())


def test_so_is_one_that_waits_for_a_thread(made, held):
    async def ask():
        threads = made(1)
        first = asyncio.ensure_future(threads.run(held))
        await held.has_begun()
        waiting = asyncio.ensure_future(threads.run(lambda: None))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        held.release()
        await first

    asyncio.run(ask())


def test_work_that_is_seen_through_does_not_outlive_its_caller(made, held):
    async def ask():
        caller = asyncio.ensure_future(made(1, is_seen_through=True).run(held))
        await held.has_begun()
        caller.cancel()
        for _ in range(100):
            await asyncio.sleep(0)
        left_early = caller.done()
        held.release()
        with pytest.raises(asyncio.CancelledError):
            await caller
        return left_early

    assert asyncio.run(ask()) is False


class TestOffLoop:
    def test_on_a_loop_it_goes_to_a_thread(self):
        async def ask():
            return await off_loop(threading.current_thread)

        assert asyncio.run(ask()) is not threading.current_thread()

    def test_in_a_thread_it_is_done_there_and_nothing_is_waited_for(self):
        with pytest.raises(StopIteration) as ended:
            off_loop(threading.current_thread).send(None)

        assert ended.value.value is threading.current_thread()
