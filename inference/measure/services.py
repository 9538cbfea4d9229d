"""Writes of measurements."""

import os
import socket
from datetime import UTC, datetime

import structlog
from django.db import DatabaseError, DataError, IntegrityError, transaction

from inference.measure.models import ArmMinute
from inference.measure.windows import ArmKey, Window, Windows

log = structlog.get_logger("roundhouse.measure")

_ROWS_AT_ONCE = 200  # longer transactions would hold SQLite's one writer for tens of milliseconds


def flush(windows: Windows, *, all_of_it: bool = False) -> int:
    """Insert the finished windows; return how many. What cannot be written now is kept.

    One that can be no row is dropped: kept, it would hold up all others for ever.
    """
    taken = windows.take(all_of_it=all_of_it)
    at_once, written = _ROWS_AT_ONCE, 0
    while written < len(taken):
        part = taken[written : written + at_once]
        try:
            with transaction.atomic():
                ArmMinute.objects.bulk_create([_row(key, window) for key, window in part])
        except Exception as error:
            if isinstance(error, DatabaseError) and not isinstance(error, DataError | IntegrityError):
                windows.give_back(taken[written:])
                raise
            if len(part) > 1:
                at_once = 1
                continue
            log.error("a measurement was dropped", arm=part[0][0]._asdict(), exc_info=error)
        written += len(part)
    return written


def _row(key: ArmKey, window: Window) -> ArmMinute:
    return ArmMinute(
        minute=datetime.fromtimestamp(window.minute * 60, UTC),
        process=f"{socket.gethostname()}:{os.getpid()}"[:100],
        ok=window.ok,
        errors=window.errors,
        refused=window.refused,
        seconds=window.seconds,
        buckets={str(bucket): count for bucket, count in sorted(window.buckets.items())},
        **key._asdict(),
    )
