"""The event loop that owns the queues of all versions, and how other threads reach it."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from typing import Any, TypeVar, cast

from inference.engine.errors import EngineStopped

T = TypeVar("T")

_LARGE_BYTES = 256 << 10  # copying or reading more than this would block the loop for too long


class EngineLoop:
    """An event loop that other threads post calls to.

    The loop makes all pending calls in one turn, in order, so that many callers wake it only once.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Use a loop that this thread runs, now or later; calls posted before it runs will wait."""
        self.asyncio = loop
        self._thread_id = threading.get_ident()
        self._posted: deque[Callable[[], None]] = deque()
        self._is_woken = False  # a wake-up call is on its way
        self._is_closed = False
        self._thread: threading.Thread | None = None

    @classmethod
    def in_thread(
        cls, new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    ) -> "EngineLoop":
        """A new loop that runs in its own thread until it is closed."""
        self = cls(new_loop())
        self._thread_id = 0
        self._thread = threading.Thread(target=self._run, name="engine-loop", daemon=True)
        self._thread.start()
        return self

    @property
    def is_current(self) -> bool:
        """Whether the caller runs on this loop and so must not block."""
        # asyncio.get_running_loop would ask the kernel for the process ID each time.
        return threading.get_ident() == self._thread_id and self.asyncio.is_running()

    @property
    def is_running(self) -> bool:
        """Whether the loop is running: one that has not started, or has ended, is not stalled."""
        return self.asyncio.is_running()

    def post(self, callback: Callable[[], None]) -> None:
        """Have the loop call this soon. Safe from any thread; raises EngineStopped if the loop is closed."""
        if self._is_closed:
            raise EngineStopped
        # We append before we read the flag, and the loop clears the flag before it takes the calls.
        self._posted.append(callback)
        if not self._is_woken:
            self._is_woken = True
            with suppress(RuntimeError):  # just closed; the loop makes the posted calls before it ends
                self.asyncio.call_soon_threadsafe(self._call_posted)

    def call(self, function: Callable[[], T], timeout_s: float) -> T:
        """Call this on the loop and return its result; EngineStopped if the loop does not respond in time."""
        if self.is_current:
            return function()
        result: Future[T] = Future()

        def call_and_reply() -> None:
            try:
                result.set_result(function())
            except BaseException as error:  # noqa: BLE001 (raised in the calling thread)
                result.set_exception(error)

        self.post(call_and_reply)
        try:
            return result.result(timeout_s)
        except FutureTimeout:
            raise EngineStopped("This process is not responding; try again.") from None

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and block until it is done. For occasional use, or before this thread runs the loop."""
        if threading.get_ident() == self._thread_id and not self.asyncio.is_running():
            return self.asyncio.run_until_complete(work)
        return self.begin(work).result()

    def begin(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        """Have the loop run a coroutine, while the calling thread does something else."""
        try:
            return asyncio.run_coroutine_threadsafe(work, self.asyncio)
        except RuntimeError:
            work.close()
            raise EngineStopped from None

    def close(self) -> None:
        """Accept no more calls; those posted before are still made. Ends a loop that `in_thread` started."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._thread is not None:
            self.asyncio.call_soon_threadsafe(self.asyncio.stop)
            self._thread.join()

    def _run(self) -> None:
        self._thread_id = threading.get_ident()
        self.asyncio.run_forever()
        self._call_posted()
        self.asyncio.close()

    def _call_posted(self) -> None:
        self._is_woken = False
        posted = self._posted
        for _ in range(len(posted)):
            try:
                posted.popleft()()
            except Exception as error:  # noqa: BLE001 (it must not stop the other posted calls)
                self.asyncio.call_exception_handler({"message": "a posted call failed", "exception": error})


def complete(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a thread. `infer` and its callers only await on a loop; in a thread they block instead."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return cast("T", end.value)
    coroutine.close()
    raise RuntimeError("The coroutine awaited something, but no loop runs in this thread.")


def is_large(nbytes: int) -> bool:
    return nbytes > _LARGE_BYTES


async def off_loop_if_large(nbytes: int, work: Callable[[], T]) -> T:
    """Do work on this many bytes, in a thread if that is a lot."""
    if not is_large(nbytes):
        return work()
    return await asyncio.get_running_loop().run_in_executor(None, work)
