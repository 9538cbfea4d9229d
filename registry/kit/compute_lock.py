"""A lock that lets only one thread besides the event loop compute at a time.

Any waiting thread may get the interpreter's lock next. With sixteen computing threads, the event loop gets it only
every seventeenth time, some milliseconds late each time; with one, every second time. A thread that waits for the
database or for a model's answer releases this lock in the meantime.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

PATIENCE_S = 1.0


class ComputeLock:
    """A thread that does not get the lock in time works without it until it is done: the holder may not be
    computing at all, but waiting for a disk.
    """

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._lock = threading.Lock()
        self._patience_s = patience_s
        self._thread = _ThreadState()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Do one piece of work under the lock."""
        self._thread.takes_part = True
        self._acquire()
        try:
            yield
        finally:
            self._release()
            self._thread.takes_part = False

    @contextmanager
    def released(self) -> Iterator[None]:
        """Release the lock while waiting for something; does nothing in threads that do not hold it."""
        held = self._thread.holds
        self._release()
        try:
            yield
        finally:
            if held:
                self._acquire()

    @contextmanager
    def released_for(self, lock: threading.Lock) -> Iterator[None]:
        """Hold another lock, but release this one while waiting for it: its holder may be waiting for this one."""
        with self.released():
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @property
    def is_mine(self) -> bool:
        return self._thread.holds

    def released_for_query(self, execute: Callable[..., Any], *query: Any) -> Any:
        """A wrapper for database calls, for Django's `execute_wrapper`."""
        with self.released():
            return execute(*query)

    def _acquire(self) -> None:
        thread = self._thread
        if thread.takes_part:
            thread.holds = thread.takes_part = self._lock.acquire(timeout=self._patience_s)

    def _release(self) -> None:
        if self._thread.holds:
            self._thread.holds = False
            self._lock.release()


class _ThreadState(threading.local):
    holds = False
    takes_part = False  # until it fails to get the lock in time


compute_lock = ComputeLock()
