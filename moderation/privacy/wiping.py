"""What a database keeps of rows that are gone."""

from django.db import connection

_FREE = "The rows are gone, but their bytes may stay in the file until nothing reads it; this is tried again."


def wipe_free_pages() -> bool:
    """Have SQLite write its file anew, without what was deleted; False while others are busy with it.

    PostgreSQL does so by itself, in its own time: see docs/moderation-privacy.md.
    """
    if connection.vendor != "sqlite":
        return True
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        is_busy, *_ = cursor.fetchone()
    return not is_busy
