"""Reading the audit chain from its start and naming the first thing that is wrong."""

import hmac
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique

from registry.record.audit import audit_key
from registry.record.chain import GENESIS, Checkpoint, Sealed, hash_of, signature_of
from registry.record.checkpoints import as_checkpoint
from registry.record.models import AuditCheckpoint, AuditRecord


@unique
class Finding(StrEnum):
    """What can be wrong; the value completes the sentence "record 12 …"."""

    ALTERED = "was altered, or written without the key"
    DUPLICATED = "has a number that was used before"
    MISSING = "is missing"
    UNLINKED = "does not continue the record before it"
    CUT = "is missing, and all after it: the chain was cut off after a checkpoint"
    REPLACED = "is not the one a checkpoint was made of: the chain was rewritten"
    CHECKPOINT_ALTERED = "was altered, or signed without the key"
    CHECKPOINT_MISSING = "is missing among the checkpoints"


@dataclass(frozen=True, slots=True)
class Fault:
    finding: Finding
    number: int  # of the record, or of the checkpoint

    @property
    def is_of_checkpoint(self) -> bool:
        return self.finding in {Finding.CHECKPOINT_ALTERED, Finding.CHECKPOINT_MISSING}

    def __str__(self) -> str:
        return f"{'Checkpoint' if self.is_of_checkpoint else 'Record'} {self.number} {self.finding.value}."


@dataclass(frozen=True, slots=True)
class Report:
    records: int  # verified, up to the fault
    checkpoints: int
    fault: Fault | None


def verify(outside: Sequence[Checkpoint] = ()) -> Report:
    """Verify the whole chain against its own checkpoints and against copies kept outside the database."""
    key = audit_key()
    # Checkpoints first: records that come in meanwhile only lengthen the chain.
    inside = [as_checkpoint(row) for row in AuditCheckpoint.objects.order_by("number").iterator()]
    signed = [checkpoint for checkpoint in (*inside, *outside) if _is_signed(checkpoint, key)]
    marks = {checkpoint.seq: checkpoint.record_hash for checkpoint in signed}
    records, fault = walk(_rows(), marks, key)
    return Report(records, len(inside), fault or checkpoint_fault(inside, outside, key))


def checkpoint_fault(inside: Sequence[Checkpoint], outside: Sequence[Checkpoint], key: bytes) -> Fault | None:
    previous = GENESIS
    for expected, checkpoint in enumerate(inside, start=1):
        if checkpoint.number != expected:
            return Fault(Finding.CHECKPOINT_MISSING, expected)
        if not _is_signed(checkpoint, key) or checkpoint.previous_signature != previous:
            return Fault(Finding.CHECKPOINT_ALTERED, checkpoint.number)
        previous = checkpoint.signature
    for checkpoint in outside:
        if not _is_signed(checkpoint, key):
            return Fault(Finding.CHECKPOINT_ALTERED, checkpoint.number)
        if checkpoint.number > len(inside):
            return Fault(Finding.CHECKPOINT_MISSING, checkpoint.number)
    return None


def walk(rows: Iterable[tuple[Sealed, str]], marks: dict[int, str], key: bytes) -> tuple[int, Fault | None]:
    """Follow the chain; `marks` says which hash a record must have. Return how many were good, and the fault."""
    seq, previous = 0, GENESIS
    for record, stored_hash in rows:
        if finding := _finding(record, stored_hash, seq + 1, previous, key):
            return seq, Fault(finding, min(record.seq, seq + 1))
        if marks.get(record.seq, stored_hash) != stored_hash:
            return seq, Fault(Finding.REPLACED, record.seq)
        seq, previous = record.seq, stored_hash
    if any(mark > seq for mark in marks):
        return seq, Fault(Finding.CUT, seq + 1)
    return seq, None


def _finding(record: Sealed, stored_hash: str, expected: int, previous: str, key: bytes) -> Finding | None:
    if record.seq > expected:
        return Finding.MISSING
    if record.seq < expected:
        return Finding.DUPLICATED
    if not hmac.compare_digest(hash_of(record, key), stored_hash):
        return Finding.ALTERED
    return None if record.previous_hash == previous else Finding.UNLINKED


def _is_signed(checkpoint: Checkpoint, key: bytes) -> bool:
    return hmac.compare_digest(signature_of(checkpoint, key), checkpoint.signature)


def _rows() -> Iterator[tuple[Sealed, str]]:
    rows = AuditRecord.objects.order_by("seq").values_list(*Sealed._fields, "hash")
    for *columns, stored_hash in rows.iterator(chunk_size=2_000):
        yield Sealed._make(columns), stored_hash
