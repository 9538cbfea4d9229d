"""Keeps the table of measurements small: rows are replaced by their sum, so that reads give the same before and after."""

import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import groupby

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from inference.measure.counts import Counts
from inference.measure.models import ArmMinute
from inference.measure.windows import ArmKey

MINUTES_KEPT = timedelta(hours=48)
HOURS_KEPT = timedelta(days=92)
_SETTLED_AFTER = timedelta(minutes=2)  # by then every process has written its minute
_ROWS_AT_ONCE = 200  # as in services: longer transactions hold SQLite's one writer
_AT_MOST_S = 30.0  # what is left then is done by the next run


class TakenMeanwhile(Exception):
    """Another run replaced these rows first."""


def merge_measurements() -> None:
    """Add processes up, then minutes to hours, and let go of what is older than anybody asks for."""
    now, give_up_at = timezone.now(), time.monotonic() + _AT_MOST_S
    try:
        _until(give_up_at, lambda: _merge_processes(now - _SETTLED_AFTER))
        _until(give_up_at, lambda: _merge_hour(start_of_hour(now - MINUTES_KEPT)))
        _until(give_up_at, lambda: _forget(now - HOURS_KEPT))
    except TakenMeanwhile:
        return


def start_of_hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _until(give_up_at: float, work: Callable[[], bool]) -> None:
    while time.monotonic() < give_up_at and work():
        pass


def _merge_processes(before: datetime) -> bool:
    """Add the oldest rows of single processes up by minute and arm; False when there are none."""
    rows = ArmMinute.objects.filter(process__gt="", minute__lt=before)
    found = list(rows.order_by("minute", "model_id", "split", "arm", "version_id")[:_ROWS_AT_ONCE])
    if len(found) == _ROWS_AT_ONCE:  # the last arm's may not all be here
        whole = [row for row in found if _minute_of(row) != _minute_of(found[-1])]
        found = whole or found
    _replace(found, 1)
    return bool(found)


def _merge_hour(before: datetime) -> bool:
    """Add the oldest hour of single minutes up by arm; False when there is none."""
    rows = ArmMinute.objects.filter(minutes=1, minute__lt=before)
    oldest = rows.order_by("minute").values_list("minute", flat=True).first()
    if oldest is None:
        return False
    hour = start_of_hour(oldest)
    within = rows.filter(minute__gte=hour, minute__lt=hour + timedelta(hours=1))
    for model_id in within.order_by("model_id").values_list("model_id", flat=True).distinct():
        _replace(list(within.filter(model_id=model_id)), 60)
    return True


def _forget(before: datetime) -> bool:
    old: QuerySet[ArmMinute] = ArmMinute.objects.filter(minutes=60, minute__lt=before).order_by("minute")
    found = list(old.values_list("pk", flat=True)[:_ROWS_AT_ONCE])
    ArmMinute.objects.filter(pk__in=found).delete()
    return bool(found)


def _replace(rows: list[ArmMinute], minutes: int) -> None:
    """Put one row per stretch of so many minutes and arm in the place of these; all of them or none."""
    sums = list(_sums(rows, minutes))
    with transaction.atomic():
        # Whoever deletes them may write their sum: nothing is counted twice where two runs meet.
        deleted, _ = ArmMinute.objects.filter(pk__in=[row.pk for row in rows]).delete()
        if deleted != len(rows):
            raise TakenMeanwhile
        ArmMinute.objects.bulk_create(sums)


def _sums(rows: Iterable[ArmMinute], minutes: int) -> Iterable[ArmMinute]:
    start_of = start_of_hour if minutes == 60 else _same

    def stretch_of(row: ArmMinute) -> tuple[datetime, ArmKey]:
        return start_of(row.minute), _key_of(row)

    for (start, key), parts in groupby(sorted(rows, key=stretch_of), key=stretch_of):
        total = Counts()
        for part in parts:
            total.add(part.ok, part.errors, part.refused, part.seconds, part.buckets)
        yield ArmMinute(
            minute=start,
            minutes=minutes,
            ok=total.ok,
            errors=total.errors,
            refused=total.refused,
            seconds=total.seconds,
            buckets={str(bucket): count for bucket, count in sorted(total.buckets.items())},
            **key._asdict(),
        )


def _same(moment: datetime) -> datetime:
    return moment


def _minute_of(row: ArmMinute) -> tuple[datetime, ArmKey]:
    return row.minute, _key_of(row)


def _key_of(row: ArmMinute) -> ArmKey:
    return ArmKey(row.model_id, row.split, row.arm, row.version_id)
