"""Counts of this process, per arm and minute: written by every prediction, flushed in the background."""

import threading
import time
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import NamedTuple

from inference.engine.meters import BOUNDS

STOPPED = 0  # as a version: the Model was stopped, so none was asked


class ArmKey(NamedTuple):
    """What is told apart. `arm` is empty where the caller named the version itself, and where the Model was stopped."""

    model_id: int
    split: int
    arm: str
    version_id: int


@dataclass(slots=True)
class Window:
    """One arm's minute. `buckets` counts answered requests by latency in microseconds (engine.meters.BOUNDS)."""

    minute: int  # minutes since 1970
    ok: int = 0
    errors: int = 0  # the request was right, the answer did not come
    refused: int = 0  # the request itself was wrong
    seconds: float = 0.0
    buckets: dict[int, int] = field(default_factory=dict)


def minute_now() -> int:
    """The running minute, counted since 1970."""
    return int(time.time() // 60)


def seconds_to_next_minute() -> float:
    return 60 - time.time() % 60


class Windows:
    """All open windows of a process. A minute's window is handed out once, and never changes afterwards."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[ArmKey, Window] = {}
        self._closed: list[tuple[ArmKey, Window]] = []

    def count(self, key: ArmKey, *, seconds: float, outcome: str = "ok") -> None:
        """Count one request that ended; `outcome` is ok, errors or refused."""
        minute = minute_now()
        bucket = bisect_right(BOUNDS, seconds * 1e6)
        with self._lock:
            window = self._open.get(key)
            if window is None or window.minute != minute:
                window = self._next(key, minute)
            if outcome == "ok":
                window.ok += 1
                window.seconds += seconds
                window.buckets[bucket] = window.buckets.get(bucket, 0) + 1
            elif outcome == "refused":
                window.refused += 1
            else:
                window.errors += 1

    def take(self, *, all_of_it: bool = False) -> list[tuple[ArmKey, Window]]:
        """Hand out what is finished; with `all_of_it` the running minute too, at the end of a process."""
        now = minute_now()
        with self._lock:
            for key in [key for key, window in self._open.items() if all_of_it or window.minute < now]:
                self._closed.append((key, self._open.pop(key)))
            taken, self._closed = self._closed, []
        return taken

    def give_back(self, windows: list[tuple[ArmKey, Window]]) -> None:
        """Keep what could not be written for the next time."""
        with self._lock:
            self._closed = windows + self._closed

    def _next(self, key: ArmKey, minute: int) -> Window:
        past = self._open.get(key)
        if past is not None:
            self._closed.append((key, past))
        window = self._open[key] = Window(minute)
        return window
