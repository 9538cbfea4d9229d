"""The event loop on which the queues of all versions live, and the way from other threads onto it."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswer
from contextlib import suppress
from typing import Any, TypeVar, cast

from inference.engine.errors import EngineStopped

T = TypeVar("T")

_LARGE_BYTES = 256 << 10  # copying or reading more than this would hold up everybody else on the loop


class EngineLoop:
    """An event loop, and the way onto it from threads.

    Threads hand over by `post`. Whatever was posted since the loop last looked is taken in one turn, in its order,
    so that many callers wake the loop once.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Use a loop that this thread will run, perhaps only later: what is posted before waits for that."""
        self.asyncio = loop
        self._runs_in = threading.get_ident()
        self._posted: deque[Callable[[], None]] = deque()
        self._is_called = False  # the loop knows that something was posted
        self._is_closed = False
        self._thread: threading.Thread | None = None

    @classmethod
    def in_thread(
        cls, new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    ) -> "EngineLoop":
        """A loop of its own, which runs in a thread of its own until it is closed."""
        made = cls(new_loop())
        made._runs_in = 0
        made._thread = threading.Thread(target=made._run, name="engine-loop", daemon=True)
        made._thread.start()
        return made

    @property
    def is_here(self) -> bool:
        """Whether the caller runs on this loop, and must not wait."""
        # asyncio's own look-up asks the kernel for the process.
        return threading.get_ident() == self._runs_in and self.asyncio.is_running()

    @property
    def is_running(self) -> bool:
        """Whether somebody runs it: a loop that has not begun, or has ended, does not stand still."""
        return self.asyncio.is_running()

    def post(self, callback: Callable[[], None]) -> None:
        """Have the loop call this soon; from any thread. EngineStopped where the loop has ended."""
        if self._is_closed:
            raise EngineStopped
        # The entry is there before the flag is read, and the loop lowers the flag before it takes the entries.
        self._posted.append(callback)
        if not self._is_called:
            self._is_called = True
            with suppress(
                RuntimeError
            ):  # closed at this moment: the loop's last act is to take what was posted
                self.asyncio.call_soon_threadsafe(self._take_posted)

    def ask(self, question: Callable[[], T], timeout_s: float) -> T:
        """Call this on the loop and wait for what it returns; EngineStopped where the loop does not come to it."""
        if self.is_here:
            return question()
        answer: Future[T] = Future()

        def reply() -> None:
            try:
                answer.set_result(question())
            except BaseException as error:  # noqa: BLE001 (raised where it was asked)
                answer.set_exception(error)

        self.post(reply)
        try:
            return answer.result(timeout_s)
        except NoAnswer:
            raise EngineStopped("This process does not answer; try again.") from None

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """Have the loop do this, and sleep until it has: for threads that are few, and before this one runs the loop."""
        if threading.get_ident() == self._runs_in and not self.asyncio.is_running():
            return self.asyncio.run_until_complete(work)
        try:
            done = asyncio.run_coroutine_threadsafe(work, self.asyncio)
        except RuntimeError:
            work.close()
            raise EngineStopped from None
        return done.result()

    def close(self) -> None:
        """Take nothing more; what was posted before this is done. A loop of our own ends."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._thread is not None:
            self.asyncio.call_soon_threadsafe(self.asyncio.stop)
            self._thread.join()

    def _run(self) -> None:
        self._runs_in = threading.get_ident()
        self.asyncio.run_forever()
        self._take_posted()
        self.asyncio.close()

    def _take_posted(self) -> None:
        self._is_called = False
        posted = self._posted
        for _ in range(len(posted)):
            try:
                posted.popleft()()
            except Exception as error:  # noqa: BLE001 (it keeps nothing else that was posted from being done)
                self.asyncio.call_exception_handler({"message": "a posted call failed", "exception": error})


def complete(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run to its end, in a thread, what is awaited on a loop elsewhere: there it waits, here the thread does."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return cast("T", end.value)
    coroutine.close()
    raise RuntimeError("It waited for a loop, and no loop runs in this thread.")


def is_large(nbytes: int) -> bool:
    return nbytes > _LARGE_BYTES


async def off_loop_if_large(nbytes: int, work: Callable[[], T]) -> T:
    """Do what goes over so many bytes, in a thread where they are many."""
    if not is_large(nbytes):
        return work()
    return await asyncio.get_running_loop().run_in_executor(None, work)
