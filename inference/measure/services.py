"""Writes of measurements."""

import os
import socket
from datetime import UTC, datetime

from django.db import DatabaseError, transaction

from inference.measure.models import ArmMinute
from inference.measure.windows import ArmKey, Window, Windows

_ROWS_AT_ONCE = 200  # longer transactions would hold SQLite's one writer for tens of milliseconds


def flush(windows: Windows, *, all_of_it: bool = False) -> int:
    """Insert the finished windows; return how many. What cannot be written now is kept."""
    taken = windows.take(all_of_it=all_of_it)
    written = 0
    while written < len(taken):
        part = taken[written : written + _ROWS_AT_ONCE]
        try:
            with transaction.atomic():
                ArmMinute.objects.bulk_create(_row(key, window) for key, window in part)
        except DatabaseError:
            windows.give_back(taken[written:])
            raise
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
