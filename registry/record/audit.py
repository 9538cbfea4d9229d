"""Writing the audit chain: one record per change, in the change's own transaction."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, models, transaction
from django.utils import timezone

from registry.kit.actors import Actor
from registry.record.chain import GENESIS, Sealed, hash_of
from registry.record.models import AuditRecord

# Any number will do; it names this one lock among a PostgreSQL database's advisory locks.
_WRITERS_LOCK = 7_205_759_403_792_793_601


@dataclass(frozen=True, slots=True)
class Subject:
    """What was changed, where no row stands for it."""

    kind: str
    id: str
    label: str
    model_slug: str = ""


def record_change(
    *,
    action: str,
    subject: models.Model | Subject,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    reason: str = "",
    by: Actor,
) -> AuditRecord:
    """Add a record to the chain, inside the transaction that makes the change; call it last.

    Writers queue from here to the end of their transaction: one that then waits for a row which another
    writer holds would wait for ever. `before` and `after` hold what a reader must see, never a secret.
    """
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("record_change belongs inside the change's transaction")
    what = subject if isinstance(subject, Subject) else subject_of(subject)
    queue_writers()
    last = AuditRecord.objects.order_by("-seq").values_list("seq", "hash").first()
    seq, previous_hash = last or (0, GENESIS)
    sealed = Sealed(
        seq=seq + 1,
        at=timezone.now(),
        actor_name=storable(by.name, 200),
        user_id=by.user_id,
        key_id=by.key_id,
        source=by.source.value,
        request_id=storable(by.request_id, 64),
        action=action,
        object_kind=what.kind,
        object_id=storable(what.id, 64),
        object_label=storable(what.label, 200),
        model_slug=what.model_slug,
        before_json=_canonical(before),
        after_json=_canonical(after),
        reason=storable(reason, 1000),
        previous_hash=previous_hash,
    )
    return AuditRecord.objects.create(**sealed._asdict(), hash=hash_of(sealed, audit_key()))


def subject_of(row: models.Model) -> Subject:
    """Name a row, and the Model it belongs to: itself, or the one it points to."""
    owner = row if row._meta.label == "registry.Model" else getattr(row, "model", None)
    return Subject(
        kind=row._meta.model_name or "",
        id=str(row.pk),
        label=str(row),
        model_slug=getattr(owner, "slug", ""),
    )


def audit_key() -> bytes:
    return str(settings.AUDIT_KEY).encode()


def storable(text: str, longest: int) -> str:
    """Cut to what the column holds and the database accepts: no NUL, no half of a surrogate pair."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")[:longest]


def queue_writers() -> None:
    """Let one writer at a time through until its transaction ends.

    SQLite has begun an IMMEDIATE transaction, which is just that.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_WRITERS_LOCK])


def _canonical(values: Mapping[str, Any] | None) -> str:
    return json.dumps(values, cls=DjangoJSONEncoder, sort_keys=True, separators=(",", ":"), allow_nan=False)
