"""The event loop on which the queues of all versions live, and the way from other threads onto it."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswer
from contextlib import suppress
from typing import TypeVar

from inference.engine.errors import EngineStopped

T = TypeVar("T")


class EngineLoop:
    """A loop in a thread of its own.

    Threads hand over by `post`. Whatever was posted since the loop last looked is taken in one turn, in its order,
    so that many callers wake the loop once.
    """

    def __init__(self, new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop) -> None:
        self._posted: deque[Callable[[], None]] = deque()
        self._is_called = False  # the loop knows that something was posted
        self._is_closed = False
        self.asyncio = new_loop()
        self._thread = threading.Thread(target=self._run, name="engine-loop", daemon=True)
        self._thread.start()

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
        if threading.current_thread() is self._thread:
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

    def close(self) -> None:
        """End the loop after what was posted before this."""
        if not self._is_closed:
            self._is_closed = True
            self.asyncio.call_soon_threadsafe(self.asyncio.stop)
        self._thread.join()

    def _run(self) -> None:
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
