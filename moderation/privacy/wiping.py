"""What a database file keeps of rows that are gone."""

from django.db import OperationalError, connection


def wipe_free_pages() -> bool:
    """Have SQLite empty its write-ahead log, which has rows as they were; False while somebody reads it.

    In the file itself, `secure_delete` overwrites what is deleted. PostgreSQL cleans up in its own time: see
    docs/moderation-privacy.md.
    """
    if connection.vendor != "sqlite":
        return True
    try:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            is_busy, *_ = cursor.fetchone()
    except OperationalError:
        return False
    return not is_busy
