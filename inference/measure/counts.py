"""What was counted of one arm, however many rows it came from: counts add up without loss."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from inference.engine.meters import BOUNDS

Buckets = dict[int, int]  # answered requests by latency, see engine.meters.BOUNDS; only those that have any


@dataclass(slots=True)
class Counts:
    """Requests of a stretch of time by how they ended, and the latencies of those that were answered."""

    ok: int = 0
    errors: int = 0  # the request was right, the answer did not come
    refused: int = 0  # the request itself was wrong
    seconds: float = 0.0
    buckets: Buckets = field(default_factory=dict)

    def add(
        self,
        ok: int,
        errors: int,
        refused: int,
        seconds: float,
        buckets: Mapping[int, int] | Mapping[str, int],
    ) -> None:
        self.ok += ok
        self.errors += errors
        self.refused += refused
        self.seconds += seconds
        mine = self.buckets
        for name, count in buckets.items():
            bucket = int(name)
            mine[bucket] = mine.get(bucket, 0) + count

    def add_all(self, other: "Counts") -> None:
        self.add(other.ok, other.errors, other.refused, other.seconds, other.buckets)

    @property
    def asked(self) -> int:
        return self.ok + self.errors + self.refused

    @property
    def error_rate(self) -> float | None:
        """Share of rightful requests without an answer; None before the first."""
        rightful = self.ok + self.errors
        return self.errors / rightful if rightful else None

    def latency_s(self, share: float) -> float | None:
        """The latency that this share of the answers did not exceed, within the width of a bucket."""
        wanted, seen = share * sum(self.buckets.values()), 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= wanted:
                return BOUNDS[min(bucket, len(BOUNDS) - 1)] / 1e6
        return None
