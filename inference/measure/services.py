"""Writes the counts of this process as rows."""

import os
import socket
from datetime import UTC, datetime

import structlog
from django.db import DatabaseError, DataError, IntegrityError, transaction

from inference.measure.counts import ArmKey, Counts, MinuteCounts, Windows
from inference.measure.models import ArmMinute

log = structlog.get_logger("roundhouse.measure")

ROWS_AT_ONCE = 200  # longer transactions would hold SQLite's write lock for tens of milliseconds


def flush(windows: Windows, *, all_of_it: bool = False) -> int:
    """Insert the finished minutes and return how many. What cannot be written now is kept for the next call.

    Counts that can never be written are dropped; otherwise they would block all others forever.
    """
    minutes = windows.take(all_of_it=all_of_it)
    at_once, written = ROWS_AT_ONCE, 0
    while written < len(minutes):
        part = minutes[written : written + at_once]
        try:
            with transaction.atomic():
                ArmMinute.objects.bulk_create([_row_of(key, counts) for key, counts in part])
        except Exception as error:
            if isinstance(error, DatabaseError) and not isinstance(error, DataError | IntegrityError):
                windows.give_back(minutes[written:])
                raise
            if len(part) > 1:
                at_once = 1
                continue
            log.error("a measurement was dropped", arm=part[0][0]._asdict(), exc_info=error)
        written += len(part)
    return written


def _row_of(key: ArmKey, counts: MinuteCounts) -> ArmMinute:
    process = f"{socket.gethostname()}:{os.getpid()}"[:100]
    return arm_minute(datetime.fromtimestamp(counts.minute * 60, UTC), key, counts, process=process)


def arm_minute(
    start: datetime, key: ArmKey, counts: Counts, *, process: str = "", minutes: int = 1
) -> ArmMinute:
    return ArmMinute(
        minute=start,
        minutes=minutes,
        process=process,
        ok=counts.ok,
        errors=counts.errors,
        refused=counts.refused,
        seconds=counts.seconds,
        buckets={str(bucket): count for bucket, count in sorted(counts.buckets.items())},
        codes=dict(sorted(counts.codes.items())),
        **key._asdict(),
    )
