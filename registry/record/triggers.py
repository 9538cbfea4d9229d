"""The database's own refusal to change or delete what is only ever added."""

from typing import Any

from django.db import connections

TABLES = ("registry_auditrecord", "registry_auditcheckpoint")

_SQLITE = """
CREATE TRIGGER IF NOT EXISTS {table}_no_{verb} BEFORE {verb} ON {table}
BEGIN SELECT RAISE(ABORT, 'rows of {table} are only ever added'); END
"""
_POSTGRESQL_FUNCTION = """
CREATE OR REPLACE FUNCTION registry_only_added() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'rows of % are only ever added', TG_TABLE_NAME; END $$
"""
_POSTGRESQL = """
CREATE OR REPLACE TRIGGER {table}_only_added BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION registry_only_added()
"""


def statements(vendor: str) -> list[str]:
    if vendor == "postgresql":
        return [_POSTGRESQL_FUNCTION, *(_POSTGRESQL.format(table=table) for table in TABLES)]
    return [_SQLITE.format(table=table, verb=verb) for table in TABLES for verb in ("update", "delete")]


def install(*, using: str, **_: Any) -> None:
    """Bring the triggers in; after each migration, because SQLite loses them when it rebuilds a table."""
    connection = connections[using]
    if not set(TABLES) <= set(connection.introspection.table_names()):
        return
    with connection.cursor() as cursor:
        for statement in statements(connection.vendor):
            cursor.execute(statement)
