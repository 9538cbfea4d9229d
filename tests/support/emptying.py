"""Emptying the database after a test with real transactions.

Django's own way truncates every table and makes content types, permissions and roles again: half a second for each
test. Here the tables that got rows are emptied, and those that had rows from the migrations get them back.
"""

from collections.abc import Sequence

from django.db import connection, transaction

Rows = Sequence[tuple[object, ...]]


class Beginning:
    """What the tables held when the migrations had run."""

    def __init__(self) -> None:
        self._tables = [
            name for name in connection.introspection.table_names() if name != "django_migrations"
        ]
        self._rows: dict[str, Rows] = {name: _rows_of(name) for name in self._filled(self._tables)}

    def restore(self) -> None:
        changed = [name for name, rows in self._rows.items() if _rows_of(name) != rows]
        extra = self._filled([name for name in self._tables if name not in self._rows])
        if not changed and not extra:
            return
        with transaction.atomic(), connection.cursor() as cursor:  # keys are looked at when it ends
            for name in (*extra, *changed):
                cursor.execute(f"DELETE FROM {_quoted(name)}")
            for name in changed:
                marks = ", ".join(["%s"] * len(self._rows[name][0]))
                cursor.executemany(f"INSERT INTO {_quoted(name)} VALUES ({marks})", self._rows[name])

    def _filled(self, names: Sequence[str]) -> list[str]:
        looks = (f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {_quoted(name)})" for name in names)
        with connection.cursor() as cursor:
            cursor.execute(" UNION ALL ".join(looks))
            return [name for (name,) in cursor.fetchall()]


def _rows_of(name: str) -> Rows:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {_quoted(name)} ORDER BY 1")
        return cursor.fetchall()


def _quoted(name: str) -> str:
    return connection.ops.quote_name(name)
