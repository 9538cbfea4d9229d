"""Ends runs at their soft limit: one thread for all runs, asleep while none is near its limit."""

import math
import threading
import time
from types import TracebackType
from typing import Any


class SoftLimit:
    """One run's limit, as a context manager around the run; `is_over` tells whether it was ended."""

    __slots__ = ("_watchdog", "deadline", "is_over", "run_options")

    def __init__(self, watchdog: "Watchdog", run_options: Any, seconds: float) -> None:
        self._watchdog, self.run_options = watchdog, run_options
        self.deadline = time.monotonic() + seconds
        self.is_over = False

    def __enter__(self) -> "SoftLimit":
        self._watchdog.watch(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watchdog.forget(self)


class Watchdog:
    """Sets `terminate` on run options whose deadline has passed.

    A run that ends in time costs a set entry and no wake-up: limits are mostly equal, so a new deadline is
    later than the one the thread already sleeps towards, and only an earlier one has to wake it.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._watched: set[SoftLimit] = set()
        self._wakes_at = math.inf
        self._thread: threading.Thread | None = None

    def watch(self, limit: SoftLimit) -> None:
        with self._changed:
            self._watched.add(limit)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._loop, name="engine-soft-limits", daemon=True)
                self._thread.start()
            if limit.deadline < self._wakes_at:
                self._wakes_at = limit.deadline
                self._changed.notify()

    def forget(self, limit: SoftLimit) -> None:
        with self._changed:
            self._watched.discard(limit)

    def _loop(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for limit in [limit for limit in self._watched if limit.deadline <= now]:
                    limit.is_over = True
                    limit.run_options.terminate = True
                    self._watched.discard(limit)
                self._wakes_at = min((limit.deadline for limit in self._watched), default=math.inf)
                self._changed.wait(None if self._wakes_at == math.inf else self._wakes_at - now)
