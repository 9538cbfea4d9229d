"""Counts what one version does, in fixed-size tables that are copied in constant time and can be added up across processes."""

import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

OK = "ok"
# Lower bounds of all buckets but the first. From 1 on there are four per doubling, so a value is known to within 25 %.
# In microseconds, the last bucket begins at 54 minutes.
BOUNDS = [2.0 ** (step // 4) * (1 + step % 4 / 4) for step in range(127)]


def _table() -> list[int]:
    return [0] * (len(BOUNDS) + 1)


@dataclass(slots=True)
class Meters:
    """One version's counts in one process. Times are bucketed in microseconds.

    Write and copy it under the batcher's lock; a copy needs no lock.
    """

    ended: dict[str, int] = field(default_factory=dict)  # "ok" or an error's code -> requests
    non_finite: int = 0
    rows: int = 0
    batches: int = 0
    queue_us: list[int] = field(default_factory=_table)  # per request: from offer to the start of its batch
    batch_us: list[int] = field(default_factory=_table)  # per batch: from its start to its answers
    compute_us: list[int] = field(default_factory=_table)  # per batch: in the runtime only
    batch_rows: list[int] = field(default_factory=_table)
    queue_s: float = 0.0  # sums of the three times above
    batch_s: float = 0.0
    compute_s: float = 0.0
    answered_at: float = 0.0  # time of the last answered batch, in seconds since 1970; 0: none
    depth: int = 0  # requests waiting now
    running: int = 0  # slots held now
    footprint_bytes: int = 0
    noted: list[tuple[int, Sequence[float], float, float]] = field(default_factory=list)

    def count_end(self, code: str, requests: int = 1) -> None:
        self.ended[code] = self.ended.get(code, 0) + requests

    def count_batch(self, rows: int, queue_s: Sequence[float], batch_s: float, compute_s: float) -> None:
        """Count an answered batch; `queue_s` has a value for each of its requests.

        Batches are noted now and entered into the tables sixteen at a time: right after a run the code for that is out
        of the processor's cache, and a lone caller would pay for fetching it each time.
        """
        self.answered_at = time.time()
        self.noted.append((rows, queue_s, batch_s, compute_s))
        if len(self.noted) >= 16:
            self.enter_noted()

    def enter_noted(self) -> None:
        for rows, queue_s, batch_s, compute_s in self.noted:
            self.ended[OK] = self.ended.get(OK, 0) + len(queue_s)
            self.batches += 1
            self.rows += rows
            self.batch_rows[bisect_right(BOUNDS, rows)] += 1
            self.batch_s += batch_s
            self.batch_us[bisect_right(BOUNDS, batch_s * 1e6)] += 1
            self.compute_s += compute_s
            self.compute_us[bisect_right(BOUNDS, compute_s * 1e6)] += 1
            for waited_s in queue_s:
                self.queue_s += waited_s
                self.queue_us[bisect_right(BOUNDS, waited_s * 1e6) if waited_s else 0] += 1
        self.noted.clear()

    def copy(self) -> "Meters":
        self.enter_noted()
        return self + Meters()

    def without_gauges(self) -> "Meters":
        """The counts that remain valid after the version has been unloaded."""
        return replace(self, depth=0, running=0, footprint_bytes=0)

    def __add__(self, other: "Meters") -> "Meters":
        ended = self.ended.copy()
        for code, requests in other.ended.copy().items():
            ended[code] = ended.get(code, 0) + requests
        return Meters(
            ended=ended,
            non_finite=self.non_finite + other.non_finite,
            rows=self.rows + other.rows,
            batches=self.batches + other.batches,
            queue_us=_add(self.queue_us, other.queue_us),
            batch_us=_add(self.batch_us, other.batch_us),
            compute_us=_add(self.compute_us, other.compute_us),
            batch_rows=_add(self.batch_rows, other.batch_rows),
            queue_s=self.queue_s + other.queue_s,
            batch_s=self.batch_s + other.batch_s,
            compute_s=self.compute_s + other.compute_s,
            answered_at=max(self.answered_at, other.answered_at),
            depth=self.depth + other.depth,
            running=self.running + other.running,
            footprint_bytes=self.footprint_bytes + other.footprint_bytes,
        )


def _add(mine: list[int], theirs: list[int]) -> list[int]:
    return [a + b for a, b in zip(mine, theirs, strict=True)]
