"""Keeps the table of measurements small: merges the rows of all processes, then minutes into hours, and deletes the oldest."""

import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import groupby

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from inference.measure.counts import ArmKey, Counts
from inference.measure.models import ArmMinute
from inference.measure.services import ROWS_AT_ONCE, arm_minute

MINUTES_KEPT = timedelta(hours=48)
HOURS_KEPT = timedelta(days=92)
_SETTLED_AFTER = timedelta(minutes=2)  # by then every process has written its minute
_TIME_LIMIT_S = 30.0  # the next run does the rest


class TakenMeanwhile(Exception):
    """Another run replaced these rows first."""


def merge_measurements() -> None:
    """Compact the table; queries by minute or hour return the same results before and after."""
    now, deadline = timezone.now(), time.monotonic() + _TIME_LIMIT_S
    try:
        _repeat(deadline, lambda: _merge_processes(now - _SETTLED_AFTER))
        _repeat(deadline, lambda: _merge_hour(start_of_hour(now - MINUTES_KEPT)))
        _repeat(deadline, lambda: _delete_hours(now - HOURS_KEPT))
    except TakenMeanwhile:
        return


def start_of_hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _repeat(deadline: float, work: Callable[[], bool]) -> None:
    """Work until nothing is left or the time is up."""
    while time.monotonic() < deadline and work():
        pass


def _merge_processes(before: datetime) -> bool:
    """Merge the oldest rows of single processes by minute and arm; False if there are none."""
    rows = ArmMinute.objects.filter(process__gt="", minute__lt=before)
    oldest = list(rows.order_by("minute", "model_id", "split", "arm", "version_id")[:ROWS_AT_ONCE])
    if len(oldest) == ROWS_AT_ONCE:  # more rows of the last arm may follow
        complete = [row for row in oldest if _minute_and_key(row) != _minute_and_key(oldest[-1])]
        oldest = complete or oldest
    _replace(oldest, 1)
    return bool(oldest)


def _merge_hour(before: datetime) -> bool:
    """Merge the oldest hour of minutes by arm; False if there is none."""
    rows = ArmMinute.objects.filter(minutes=1, minute__lt=before)
    oldest = rows.order_by("minute").values_list("minute", flat=True).first()
    if oldest is None:
        return False
    hour = start_of_hour(oldest)
    within = rows.filter(minute__gte=hour, minute__lt=hour + timedelta(hours=1))
    for model_id in within.order_by("model_id").values_list("model_id", flat=True).distinct():
        _replace(list(within.filter(model_id=model_id)), 60)
    return True


def _delete_hours(before: datetime) -> bool:
    old: QuerySet[ArmMinute] = ArmMinute.objects.filter(minutes=60, minute__lt=before).order_by("minute")
    ids = list(old.values_list("pk", flat=True)[:ROWS_AT_ONCE])
    ArmMinute.objects.filter(pk__in=ids).delete()
    return bool(ids)


def _replace(rows: list[ArmMinute], minutes: int) -> None:
    """Replace these rows with one for each arm and stretch of `minutes`; all of them or none."""
    sums = list(_sums(rows, minutes))
    with transaction.atomic():
        # Only the run that deleted the rows may write their sum, so two simultaneous runs count nothing twice.
        deleted, _ = ArmMinute.objects.filter(pk__in=[row.pk for row in rows]).delete()
        if deleted != len(rows):
            raise TakenMeanwhile
        ArmMinute.objects.bulk_create(sums)


def _sums(rows: Iterable[ArmMinute], minutes: int) -> Iterable[ArmMinute]:
    def start_and_key(row: ArmMinute) -> tuple[datetime, ArmKey]:
        minute, key = _minute_and_key(row)
        return (start_of_hour(minute) if minutes == 60 else minute), key

    for (start, key), parts in groupby(sorted(rows, key=start_and_key), key=start_and_key):
        total = Counts()
        for part in parts:
            total.add(part.ok, part.errors, part.refused, part.seconds, part.buckets, part.codes)
        yield arm_minute(start, key, total, minutes=minutes)


def _minute_and_key(row: ArmMinute) -> tuple[datetime, ArmKey]:
    return row.minute, ArmKey(row.model_id, row.split, row.arm, row.version_id)
