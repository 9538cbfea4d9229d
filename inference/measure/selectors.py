"""Queries for measurements, summed over processes and minutes."""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

import orjson
from django.db.models import Q, TextField
from django.db.models.functions import Cast
from django.utils import timezone

from inference.measure.counts import ArmKey, Counts
from inference.measure.models import ArmMinute
from registry.record.models import Event

MINUTE = timedelta(minutes=1)
_WRITTEN_WITHIN = timedelta(seconds=5)  # time after the end of a minute for every process to write it
_MOST_LOST = 50
_COUNTING_KINDS = ("web", "grpc")  # processes that count requests; workers answer on their behalf


@dataclass(slots=True)
class ArmSummary(Counts):
    """The counts of one arm over a period."""

    split: int = 0
    arm: str = ""
    version_id: int = 0


@dataclass(slots=True)
class Series:
    """The counts of a Model's arms from `start` to `end`, in steps."""

    start: datetime
    end: datetime
    step: timedelta
    steps: dict[datetime, dict[ArmKey, Counts]] = field(default_factory=dict)
    newest: datetime | None = None  # the end of the newest minute with counts

    @property
    def moments(self) -> list[datetime]:
        count = -(-(self.end - self.start) // self.step)
        return [self.start + number * self.step for number in range(count)]

    def arms(self) -> list[ArmSummary]:
        """Every arm over the whole period, newest split first."""
        summaries: dict[ArmKey, ArmSummary] = {}
        for arms in self.steps.values():
            for key, counts in arms.items():
                summary = summaries.setdefault(
                    key, ArmSummary(split=key.split, arm=key.arm, version_id=key.version_id)
                )
                summary.add_all(counts)
        return sorted(summaries.values(), key=lambda arm: (-arm.split, arm.arm, arm.version_id))

    def versions_at(self, moment: datetime) -> dict[int, Counts]:
        """Counts by version id in the step that begins at `moment`, over all splits."""
        found: dict[int, Counts] = {}
        for key, counts in self.steps.get(moment, {}).items():
            found.setdefault(key.version_id, Counts()).add_all(counts)
        return found

    def by_version(self, version_id: int) -> list[Counts | None]:
        """A version's counts in each step; None for a step without requests."""
        return [self.versions_at(moment).get(version_id) for moment in self.moments]


class _Row(NamedTuple):
    key: ArmKey
    minute: datetime
    numbers: tuple[int, int, int, float]
    buckets: dict[str, int]
    codes: dict[str, int]


def arms_between(*, model_id: int, start: datetime, end: datetime) -> list[ArmSummary]:
    """Every arm of a Model that had requests in this period, newest split first."""
    return series_between(model_id=model_id, start=start, end=end, step=end - start).arms()


def series_between(*, model_id: int, start: datetime, end: datetime, step: timedelta) -> Series:
    """The arms of a Model, step by step; one query."""
    series = Series(start, end, step)
    for row in _rows([model_id], start, end):
        moment = start + (row.minute - start) // step * step
        counts = series.steps.setdefault(moment, {}).setdefault(row.key, Counts())
        counts.add(*row.numbers, row.buckets, row.codes)
        series.newest = max(series.newest or start, row.minute + MINUTE)
    return series


def models_between(
    *, model_ids: Collection[int], start: datetime, end: datetime, step: timedelta
) -> dict[int, list[Counts | None]]:
    """Each Model's counts in each step, all arms together; one query for all of them."""
    length = -(-(end - start) // step)
    found: dict[int, list[Counts | None]] = {}
    for row in _rows(model_ids, start, end):
        steps = found.setdefault(row.key.model_id, [None] * length)
        index = (row.minute - start) // step
        counts = steps[index]
        if counts is None:
            counts = steps[index] = Counts()
        counts.add(*row.numbers, row.buckets, row.codes)
    return found


def turned_away_between(
    model_ids: Collection[int], start: datetime, end: datetime
) -> dict[int, dict[str, int]]:
    """How many requests to each Model got an error, by error code, the most frequent first; one query."""
    rows = ArmMinute.objects.filter(model_id__in=model_ids, minute__gte=start, minute__lt=end)
    failed = rows.filter(Q(errors__gt=0) | Q(refused__gt=0)).values_list("model_id", "codes")
    totals: dict[int, Counter[str]] = {}
    for model_id, codes in failed.iterator(chunk_size=2_000):
        totals.setdefault(model_id, Counter()).update(codes)
    return {model_id: dict(codes.most_common()) for model_id, codes in totals.items()}


def written_until() -> datetime:
    """The end of the newest minute that every process has had time to write."""
    return (timezone.now() - _WRITTEN_WITHIN).replace(second=0, microsecond=0)


def newest_minute(model_id: int) -> datetime | None:
    """The newest minute in which the Model had requests; None if it had none or they have been deleted."""
    rows = ArmMinute.objects.filter(model_id=model_id).order_by("-minute")
    return rows.values_list("minute", flat=True).first()


def has_answered() -> bool:
    """Whether any request has ever been answered; counts are written once a minute."""
    return ArmMinute.objects.filter(ok__gt=0).exists()


def counters_lost_between(start: datetime, end: datetime) -> list[Event]:
    """Events of processes that died before writing their last minute, oldest first."""
    lost = Event.objects.filter(kind="worker_lost", at__gte=start, at__lt=end).order_by("at")
    return [event for event in lost[:_MOST_LOST] if event.data.get("kind") in _COUNTING_KINDS]


def _rows(model_ids: Collection[int], start: datetime, end: datetime) -> Iterator[_Row]:
    rows = ArmMinute.objects.filter(model_id__in=model_ids, minute__gte=start, minute__lt=end)
    # As text: a page reads thousands of rows, and Django's own JSON decoding would be the slowest part.
    text = rows.annotate(
        buckets_text=Cast("buckets", TextField()), codes_text=Cast("codes", TextField())
    ).values_list(
        "model_id", "split", "arm", "version_id", "minute", "ok", "errors", "refused", "seconds", "buckets_text",
        "codes_text",
    )  # fmt: skip
    for (
        model_id,
        split,
        arm,
        version_id,
        minute,
        ok,
        errors,
        refused,
        seconds,
        buckets,
        codes,
    ) in text.iterator(chunk_size=2_000):
        key = ArmKey(model_id, split, arm, version_id)
        yield _Row(key, minute, (ok, errors, refused, seconds), orjson.loads(buckets), orjson.loads(codes))
