"""Reads of measurements: processes and minutes merged without loss."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

import orjson
from django.db.models import TextField
from django.db.models.functions import Cast
from django.utils import timezone

from inference.measure.counts import Counts
from inference.measure.models import ArmMinute
from inference.measure.windows import ArmKey
from registry.record.models import Event

MINUTE = timedelta(minutes=1)
_WRITTEN_WITHIN = timedelta(seconds=5)  # after a minute's end, until every process has written it
_MOST_LOST = 50
_COUNTING_KINDS = ("web", "grpc")  # processes that count what they answer; workers answer for these


@dataclass(slots=True)
class ArmSummary(Counts):
    """What one arm answered in a stretch of time."""

    split: int = 0
    arm: str = ""
    version_id: int = 0


@dataclass(slots=True)
class Series:
    """What the arms of a Model answered from `start` to `end`, in steps."""

    start: datetime
    end: datetime
    step: timedelta
    steps: dict[datetime, dict[ArmKey, Counts]] = field(default_factory=dict)
    newest: datetime | None = None  # the end of the newest minute that anything is known of

    @property
    def moments(self) -> list[datetime]:
        count = -(-(self.end - self.start) // self.step)
        return [self.start + number * self.step for number in range(count)]

    def arms(self) -> list[ArmSummary]:
        """Every arm over the whole time, newest split first."""
        found: dict[ArmKey, ArmSummary] = {}
        for arms in self.steps.values():
            for key, counts in arms.items():
                named = found.setdefault(
                    key, ArmSummary(split=key.split, arm=key.arm, version_id=key.version_id)
                )
                named.add_all(counts)
        return sorted(found.values(), key=lambda one: (-one.split, one.arm, one.version_id))

    def versions_at(self, moment: datetime) -> dict[int, Counts]:
        """What each version answered in the step that begins then, whatever the split."""
        found: dict[int, Counts] = {}
        for key, counts in self.steps.get(moment, {}).items():
            found.setdefault(key.version_id, Counts()).add_all(counts)
        return found

    def by_version(self, version_id: int) -> list[Counts | None]:
        """What a version answered in each step; None where nobody asked it."""
        return [self.versions_at(moment).get(version_id) for moment in self.moments]


class _Row(NamedTuple):
    key: ArmKey
    minute: datetime
    numbers: tuple[int, int, int, float]
    buckets: dict[str, int]


def arms_between(*, model_id: int, start: datetime, end: datetime) -> list[ArmSummary]:
    """Every arm of a Model that was asked in this time, newest split first."""
    return series_between(model_id=model_id, start=start, end=end, step=end - start).arms()


def series_between(*, model_id: int, start: datetime, end: datetime, step: timedelta) -> Series:
    """The arms of a Model, step by step; one query."""
    series = Series(start, end, step)
    for row in _rows([model_id], start, end):
        moment = start + (row.minute - start) // step * step
        counts = series.steps.setdefault(moment, {}).setdefault(row.key, Counts())
        counts.add(*row.numbers, row.buckets)
        series.newest = max(series.newest or start, row.minute + MINUTE)
    return series


def models_between(
    *, model_ids: Collection[int], start: datetime, end: datetime, step: timedelta
) -> dict[int, list[Counts | None]]:
    """What each Model answered in each step, all arms together; one query for all of them."""
    length = -(-(end - start) // step)
    found: dict[int, list[Counts | None]] = {}
    for row in _rows(model_ids, start, end):
        steps = found.setdefault(row.key.model_id, [None] * length)
        place = (row.minute - start) // step
        counts = steps[place]
        if counts is None:
            counts = steps[place] = Counts()
        counts.add(*row.numbers, row.buckets)
    return found


def written_until() -> datetime:
    """The end of the newest minute that every process has had time to write."""
    return (timezone.now() - _WRITTEN_WITHIN).replace(second=0, microsecond=0)


def newest_minute(model_id: int) -> datetime | None:
    """The newest minute in which the Model was asked; None where it never was, or so long ago that it is forgotten."""
    rows = ArmMinute.objects.filter(model_id=model_id).order_by("-minute")
    return rows.values_list("minute", flat=True).first()


def counters_lost_between(start: datetime, end: datetime) -> list[Event]:
    """The processes that ended without writing what they had counted since their last minute, oldest first."""
    lost = Event.objects.filter(kind="worker_lost", at__gte=start, at__lt=end).order_by("at")
    return [event for event in lost[:_MOST_LOST] if event.data.get("kind") in _COUNTING_KINDS]


def _rows(model_ids: Collection[int], start: datetime, end: datetime) -> Iterator[_Row]:
    rows = ArmMinute.objects.filter(model_id__in=model_ids, minute__gte=start, minute__lt=end)
    # As text: a page reads thousands, and Django's own reading of JSON is the slowest part of it.
    text = rows.annotate(buckets_text=Cast("buckets", TextField())).values_list(
        "model_id", "split", "arm", "version_id", "minute", "ok", "errors", "refused", "seconds", "buckets_text"
    )  # fmt: skip
    for model_id, split, arm, version_id, minute, ok, errors, refused, seconds, buckets in text.iterator(
        chunk_size=2_000
    ):
        key = ArmKey(model_id, split, arm, version_id)
        yield _Row(key, minute, (ok, errors, refused, seconds), orjson.loads(buckets))
