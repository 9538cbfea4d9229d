"""Everything that is stored, as bytes, to look whether something is still there."""

from pathlib import Path

from django.conf import settings
from django.db import connection


def stored_bytes() -> bytes:
    """All values of all tables, and all files of the data folder."""
    return b"\n".join([*_values(), *_files()])


def _values():
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            for row in cursor.fetchall():
                for value in row:
                    yield bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()


def _files():
    for path in Path(settings.DATA_DIR).rglob("*"):
        if path.is_file():
            yield path.read_bytes()
