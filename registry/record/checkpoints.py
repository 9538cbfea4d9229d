"""Signed checkpoints of the audit chain. Copies outside the database reveal a truncated chain."""

import json
from datetime import datetime

import structlog
from django.db import transaction
from django.utils import timezone

from registry.errors import Invalid
from registry.record.audit import audit_key, queue_writers
from registry.record.chain import GENESIS, Checkpoint, signature_of
from registry.record.models import AuditCheckpoint, AuditRecord

log = structlog.get_logger("registry.record")


@transaction.atomic
def write_checkpoint() -> AuditCheckpoint | None:
    """Sign the chain up to its last record; None if there is no new record since the last checkpoint."""
    queue_writers()
    record = AuditRecord.objects.order_by("-seq").first()
    last = AuditCheckpoint.objects.order_by("-number").first()
    if record is None or (last is not None and last.seq >= record.seq):
        return None
    unsigned = Checkpoint(
        number=last.number + 1 if last else 1,
        at=timezone.now(),
        seq=record.seq,
        record_hash=record.hash,
        previous_signature=last.signature if last else GENESIS,
        signature="",
    )
    signed = unsigned._replace(signature=signature_of(unsigned, audit_key()))
    # The log holds a copy that the database's owner cannot rewrite.
    transaction.on_commit(lambda: log.info("audit checkpoint", checkpoint=to_line(signed)))
    return AuditCheckpoint.objects.create(**signed._asdict())


def as_checkpoint(row: AuditCheckpoint) -> Checkpoint:
    return Checkpoint(*(getattr(row, name) for name in Checkpoint._fields))


def to_line(checkpoint: Checkpoint) -> str:
    """Write a checkpoint as one line, for `from_line`."""
    return json.dumps(checkpoint._asdict() | {"at": checkpoint.at.isoformat()})


def from_line(line: str) -> Checkpoint:
    try:
        values = json.loads(line)
        return Checkpoint(**values | {"at": datetime.fromisoformat(values["at"])})
    except (ValueError, KeyError, TypeError):
        raise Invalid("This is not a line from export_checkpoint.") from None
