"""Work that would hold the event loop up: it goes to a thread, and comes back."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import close_old_connections, connection

from inference.engine.errors import Overloaded
from registry.kit.compute_lock import compute_lock

T = TypeVar("T")


class WorkThreads:
    """A bounded number of threads. What has waited too long for one of them is refused, and so is what finds too many waiting."""

    def __init__(
        self, name: str, threads: int, *, most_waiting: int, wait_s: float, takes_turns: bool = True
    ) -> None:
        """Those that hardly compute take no turns: they would wait for pages."""
        self._takes_turns = takes_turns
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._threads, self._most, self._wait_s = threads, threads + most_waiting, wait_s
        self._inside = 0  # known on the loop only

    async def run(self, work: Callable[[], T]) -> T:
        """Do it in one of the threads; from the loop. Overloaded where none is to be had in time."""
        if self._inside >= self._most:
            raise self._busy()
        loop = asyncio.get_running_loop()
        job = self._pool.submit(_in_thread, work, self._takes_turns)
        giving_up = loop.call_later(self._wait_s, job.cancel)  # does nothing to what has begun
        self._inside += 1
        job.add_done_callback(lambda _: loop.call_soon_threadsafe(self._leave))
        try:
            return await asyncio.wrap_future(job, loop=loop)
        except asyncio.CancelledError:
            if job.cancelled():
                raise self._busy() from None
            raise
        finally:
            giving_up.cancel()
            # It keeps an error, whose traceback keeps this frame and all that the work had in its hands.
            del job

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _leave(self) -> None:
        self._inside -= 1

    def _busy(self) -> Overloaded:
        return Overloaded(
            f"All {self._threads} threads of this process that do such work are busy. Send again in a second."
        )


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


async def off_loop(work: Callable[[], T]) -> T:
    """Do what may wait or take long: on a loop in a thread, in a thread here."""
    if asyncio._get_running_loop() is None:
        return work()
    return await _threads.run(work)
