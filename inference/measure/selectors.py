"""Reads of measurements: processes and minutes merged without loss."""

from dataclasses import dataclass, field
from datetime import datetime

from inference.engine.meters import BOUNDS, quantile
from inference.measure.models import ArmMinute


@dataclass(slots=True)
class ArmSummary:
    """What one arm answered in a stretch of time."""

    split: int
    arm: str
    version_id: int
    ok: int = 0
    errors: int = 0
    refused: int = 0
    seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))

    @property
    def error_rate(self) -> float | None:
        """Share of rightful requests without an answer; None before the first."""
        asked = self.ok + self.errors
        return self.errors / asked if asked else None

    def latency_s(self, share: float) -> float | None:
        """The latency that this share of the answers did not exceed, within the width of a bucket."""
        bound = quantile(self.buckets, share)
        return None if bound is None else bound / 1e6


def arms_between(*, model_id: int, start: datetime, end: datetime) -> list[ArmSummary]:
    """Every arm of a Model that was asked in this time, newest split first."""
    found: dict[tuple[int, str, int], ArmSummary] = {}
    rows = ArmMinute.objects.filter(model_id=model_id, minute__gte=start, minute__lt=end)
    for row in rows.iterator():
        key = (row.split, row.arm, row.version_id)
        summary = found.setdefault(key, ArmSummary(*key))
        summary.ok += row.ok
        summary.errors += row.errors
        summary.refused += row.refused
        summary.seconds += row.seconds
        for bucket, count in row.buckets.items():
            summary.buckets[int(bucket)] += count
    return sorted(found.values(), key=lambda summary: (-summary.split, summary.arm, summary.version_id))
