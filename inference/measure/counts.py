"""Counts of requests by arm: kept per minute in each process, and added up without loss."""

import threading
import time
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from inference.engine.meters import BOUNDS

NO_VERSION = 0  # in place of a version id: the request was turned away before a version was chosen


class ArmKey(NamedTuple):
    """The key under which requests are counted. `arm` is empty if the caller named a version, or none was chosen."""

    model_id: int
    split: int
    arm: str
    version_id: int


@dataclass(slots=True)
class Counts:
    """Requests by how they ended, and the latencies of those that were answered.

    Requests that got no answer were turned away; `codes` says why.
    """

    ok: int = 0
    errors: int = 0  # the request was valid, but got no answer
    refused: int = 0  # the caller was at fault: an invalid request, or more than its limit
    seconds: float = 0.0
    buckets: dict[int, int] = field(
        default_factory=dict
    )  # answers by latency in µs (BOUNDS); no empty buckets
    codes: dict[str, int] = field(default_factory=dict)  # errors and refused requests by error code

    def add(
        self,
        ok: int,
        errors: int,
        refused: int,
        seconds: float,
        buckets: Mapping[int, int] | Mapping[str, int],
        codes: Mapping[str, int],
    ) -> None:
        self.ok += ok
        self.errors += errors
        self.refused += refused
        self.seconds += seconds
        mine = self.buckets
        for name, count in buckets.items():
            bucket = int(name)
            mine[bucket] = mine.get(bucket, 0) + count
        for code, count in codes.items():
            self.codes[code] = self.codes.get(code, 0) + count

    def add_all(self, other: "Counts") -> None:
        self.add(other.ok, other.errors, other.refused, other.seconds, other.buckets, other.codes)

    @property
    def requests(self) -> int:
        return self.ok + self.errors + self.refused

    @property
    def turned_away(self) -> int:
        """Requests that got no answer, whoever was at fault."""
        return self.errors + self.refused

    @property
    def error_rate(self) -> float | None:
        """Errors as a share of the valid requests; None if there were none."""
        valid = self.ok + self.errors
        return self.errors / valid if valid else None

    def latency_s(self, share: float) -> float | None:
        """The latency that this share of the answers did not exceed, to within the width of a bucket."""
        rank, seen = share * sum(self.buckets.values()), 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= rank:
                return BOUNDS[min(bucket, len(BOUNDS) - 1)] / 1e6
        return None


@dataclass(slots=True)
class MinuteCounts(Counts):
    """One arm's counts for one minute in this process."""

    minute: int = 0  # minutes since 1970


def minute_now() -> int:
    """The current minute, counted from 1970."""
    return int(time.time() // 60)


def seconds_to_next_minute() -> float:
    return 60 - time.time() % 60


class Windows:
    """This process's counts by arm and minute. A finished minute is handed out once and never changes again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[ArmKey, MinuteCounts] = {}
        self._closed: list[tuple[ArmKey, MinuteCounts]] = []

    def count(self, key: ArmKey, *, seconds: float) -> None:
        """Count one request that was answered."""
        minute = minute_now()
        bucket = bisect_right(BOUNDS, seconds * 1e6)
        with self._lock:
            counts = self._open.get(key)
            if counts is None or counts.minute != minute:
                counts = self._next(key, minute)
            counts.ok += 1
            counts.seconds += seconds
            counts.buckets[bucket] = counts.buckets.get(bucket, 0) + 1

    def count_turned_away(self, key: ArmKey, code: str, *, is_callers: bool) -> None:
        """Count one request that got an error; `is_callers`: the caller was at fault."""
        minute = minute_now()
        with self._lock:
            counts = self._open.get(key)
            if counts is None or counts.minute != minute:
                counts = self._next(key, minute)
            if is_callers:
                counts.refused += 1
            else:
                counts.errors += 1
            counts.codes[code] = counts.codes.get(code, 0) + 1

    def take(self, *, all_of_it: bool = False) -> list[tuple[ArmKey, MinuteCounts]]:
        """Hand out finished minutes; with `all_of_it` the current one too, when the process ends."""
        now = minute_now()
        with self._lock:
            for key in [key for key, counts in self._open.items() if all_of_it or counts.minute < now]:
                self._closed.append((key, self._open.pop(key)))
            taken, self._closed = self._closed, []
        return taken

    def give_back(self, minutes: list[tuple[ArmKey, MinuteCounts]]) -> None:
        """Keep what could not be written until the next flush."""
        with self._lock:
            self._closed = minutes + self._closed

    def _next(self, key: ArmKey, minute: int) -> MinuteCounts:
        past = self._open.get(key)
        if past is not None:
            self._closed.append((key, past))
        counts = self._open[key] = MinuteCounts(minute=minute)
        return counts
