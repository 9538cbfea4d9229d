"""Threads for work that would block the event loop."""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.conf import settings
from django.db import close_old_connections, connection

from inference.engine.errors import Overloaded
from inference.engine.threads import yield_often
from registry.kit.compute_lock import compute_lock

T = TypeVar("T")


class WorkThreads:
    """A bounded number of threads with a bounded queue. Work that has waited too long is refused."""

    def __init__(
        self,
        name: str,
        threads: int,
        *,
        most_waiting: int,
        wait_s: float,
        takes_turns: bool = True,
        is_seen_through: bool = False,
        is_computing: bool = False,
    ) -> None:
        """`takes_turns`: whether to take turns with the threads that serve pages; not needed for work that uses little CPU.

        `is_seen_through`: a caller who is cancelled waits for work that has begun, so that it does not outlive its request.
        `is_computing`: the threads need cores for long, and yield them to the event loop.
        """
        self._takes_turns, self._is_seen_through = takes_turns, is_seen_through
        self._pool = ThreadPoolExecutor(
            threads, thread_name_prefix=name, initializer=yield_often if is_computing else None
        )
        self._threads, self._most, self._wait_s = threads, threads + most_waiting, wait_s
        self._inside = 0  # used on the loop only

    async def run(self, work: Callable[[], T]) -> T:
        """Run the work in a thread; call this on the loop. Raises Overloaded if no thread becomes free in time."""
        if self._inside >= self._most:
            raise self._busy()
        loop = asyncio.get_running_loop()
        job = self._pool.submit(_in_thread, work, self._takes_turns)
        timer = loop.call_later(self._wait_s, job.cancel)  # has no effect on work that has begun
        self._inside += 1
        job.add_done_callback(lambda _: loop.call_soon_threadsafe(self._leave))
        try:
            return await asyncio.wrap_future(job, loop=loop)
        except asyncio.CancelledError:
            if job.cancelled() and not _is_leaving():
                raise self._busy() from None
            if self._is_seen_through:
                await asyncio.gather(asyncio.wrap_future(job, loop=loop), return_exceptions=True)
            raise
        finally:
            timer.cancel()
            # Its error has a traceback, which would keep this frame and all of the work's objects alive.
            del job

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _leave(self) -> None:
        self._inside -= 1

    def _busy(self) -> Overloaded:
        return Overloaded(
            f"All {self._threads} threads that this process has for such work are busy; try again in a second."
        )


def _is_leaving() -> bool:
    """Whether the running task was cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _in_thread(work: Callable[[], T], takes_turns: bool) -> T:
    close_old_connections()
    try:
        if not takes_turns:
            return work()
        with compute_lock.held(), connection.execute_wrapper(compute_lock.released_for_query):
            return work()
    finally:
        close_old_connections()


_threads = WorkThreads("work", 32, most_waiting=512, wait_s=5.0)
# More at a time in all processes would not decode faster, and each holds the pixels of a picture.
_DECODED_AT_ONCE = max(1, min(8, (os.cpu_count() or 1) // settings.WEB_PROCESSES))
_decoding_threads = WorkThreads(
    "decoding", _DECODED_AT_ONCE, most_waiting=512, wait_s=5.0, takes_turns=False, is_computing=True
)
_decoding_slots = threading.BoundedSemaphore(_DECODED_AT_ONCE)
# They wait for other hosts most of the time.
_fetching_threads = WorkThreads(
    "fetching", 8, most_waiting=256, wait_s=5.0, takes_turns=False, is_seen_through=True
)


def on_loop() -> bool:
    """Whether an event loop runs the caller, so that it must not block."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def off_loop(work: Callable[[], T]) -> T:
    """Run work that may block: in another thread if called on a loop, otherwise directly."""
    if not on_loop():
        return work()
    return await _threads.run(work)


async def decoding_off_loop(work: Callable[[], T]) -> T:
    """Run work that leaves Python's lock most of the time, such as decoding pictures; only so much of it runs at a time."""

    def in_turn() -> T:
        with _decoding_slots:
            return work()

    return await _without_turns(_decoding_threads, in_turn)


async def fetching_off_loop(work: Callable[[], T]) -> T:
    """Run work that waits for another host most of the time."""
    return await _without_turns(_fetching_threads, work)


async def _without_turns(threads: WorkThreads, work: Callable[[], T]) -> T:
    if on_loop():
        return await threads.run(work)
    with compute_lock.released():
        return work()
