"""Everything that is stored, as bytes, to look whether something is still there."""

from pathlib import Path

from django.conf import settings
from django.db import connection


def where_stored(piece: bytes) -> list[str]:
    """The tables, and the files of the data folder, that have it."""
    return sorted({place for place, value in [*_values(), *_files()] if piece in value})


def stored_bytes() -> bytes:
    """All values of all tables, and all files of the data folder."""
    return b"\n".join(value for _, value in [*_values(), *_files()])


def _values():
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            for row in cursor.fetchall():
                for value in row:
                    yield (
                        table,
                        bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode(),
                    )


def _files():
    for path in Path(settings.DATA_DIR).rglob("*"):
        if path.is_file():
            yield path.name, path.read_bytes()
