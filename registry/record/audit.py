"""The audit chain: one record per change, written in the change's own transaction, and never changed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, connections, models, transaction
from django.utils import timezone

from registry.kit.actors import Actor
from registry.kit.text import storable
from registry.record.chain import GENESIS, SealedRecord, hash_of
from registry.record.models import AuditRecord

# An arbitrary number for this lock among PostgreSQL's advisory locks.
_WRITERS_LOCK = 7_205_759_403_792_793_601

APPEND_ONLY_TABLES = ("registry_auditrecord", "registry_auditcheckpoint")

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


@dataclass(frozen=True, slots=True)
class AuditSubject:
    """What was changed, if it is not a row."""

    kind: str
    id: str
    label: str
    model_slug: str = ""


def record_change(
    *,
    action: str,
    subject: models.Model | AuditSubject,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    reason: str = "",
    by: Actor,
) -> AuditRecord:
    """Add a record to the chain, inside the transaction that makes the change. Call it last.

    Writers queue from here to the end of their transaction, so waiting for a row that another writer has locked would
    deadlock. `before` and `after` hold what a reader needs, and never a secret.
    """
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError(
            "record_change must be called inside the change's transaction"
        )
    subject = subject if isinstance(subject, AuditSubject) else subject_of(subject)
    queue_writers()
    last = AuditRecord.objects.order_by("-seq").values_list("seq", "hash").first()
    seq, previous_hash = last or (0, GENESIS)
    sealed = SealedRecord(
        seq=seq + 1,
        at=timezone.now(),
        actor_name=storable(by.name, 200),
        user_id=by.user_id,
        key_id=by.key_id,
        source=by.source.value,
        request_id=storable(by.request_id, 64),
        action=action,
        object_kind=subject.kind,
        object_id=storable(subject.id, 64),
        object_label=storable(subject.label, 200),
        model_slug=subject.model_slug,
        before_json=_canonical(before),
        after_json=_canonical(after),
        reason=storable(reason, 1000),
        previous_hash=previous_hash,
    )
    return AuditRecord.objects.create(**sealed._asdict(), hash=hash_of(sealed, audit_key()))


def subject_of(row: models.Model) -> AuditSubject:
    """Describe a row, with the Model it is or belongs to."""
    owner = row if row._meta.label == "registry.Model" else getattr(row, "model", None)
    return AuditSubject(
        kind=row._meta.model_name or "",
        id=str(row.pk),
        label=str(row),
        model_slug=getattr(owner, "slug", ""),
    )


def audit_key() -> bytes:
    return str(settings.AUDIT_KEY).encode()


def queue_writers() -> None:
    """Admit one writer at a time, until its transaction ends. SQLite's IMMEDIATE transactions do that already."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_WRITERS_LOCK])


def trigger_statements(vendor: str) -> list[str]:
    if vendor == "postgresql":
        return [_POSTGRESQL_FUNCTION, *(_POSTGRESQL.format(table=table) for table in APPEND_ONLY_TABLES)]
    return [
        _SQLITE.format(table=table, verb=verb)
        for table in APPEND_ONLY_TABLES
        for verb in ("update", "delete")
    ]


def install_triggers(*, using: str, **_: Any) -> None:
    """Make the database itself refuse changes. Runs after each migration, as SQLite drops triggers when it rebuilds a table."""
    connection = connections[using]
    if not set(APPEND_ONLY_TABLES) <= set(connection.introspection.table_names()):
        return
    with connection.cursor() as cursor:
        for statement in trigger_statements(connection.vendor):
            cursor.execute(statement)


def _canonical(values: Mapping[str, Any] | None) -> str:
    return json.dumps(values, cls=DjangoJSONEncoder, sort_keys=True, separators=(",", ":"), allow_nan=False)
