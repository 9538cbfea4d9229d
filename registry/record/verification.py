"""Reads the audit chain from its start and finds the first fault."""

import hmac
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Any

from django.db import OperationalError
from django.db.models import QuerySet

from registry.record.audit import audit_key
from registry.record.chain import GENESIS, Checkpoint, SealedRecord, hash_of, signature_of
from registry.record.models import AuditCheckpoint, AuditRecord


@unique
class Finding(StrEnum):
    """What can be wrong; the value completes the sentence "record 12 …"."""

    ALTERED = "was altered, or written without the key"
    DUPLICATED = "has a number that was used before"
    MISSING = "is missing"
    UNLINKED = "does not link to the record before it"
    CUT = "is missing, as are all after it: the chain was cut off after a checkpoint"
    REPLACED = "is not the one that a checkpoint signed: the chain was rewritten"
    CHECKPOINT_ALTERED = "was altered, or signed without the key"
    CHECKPOINT_MISSING = "is missing from the checkpoints"


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
class ChainReport:
    records: int  # verified, up to the fault
    checkpoints: int
    fault: Fault | None


# Raised for values that cannot be sealed, compared or read.
_UNREADABLE = (TypeError, ValueError, AttributeError, OverflowError)


def verify(outside: Sequence[Checkpoint] = ()) -> ChainReport:
    """Verify the whole chain against its own checkpoints and against copies kept outside the database."""
    key = audit_key()
    # Checkpoints first: records written in the meantime only lengthen the chain.
    inside, unreadable = _checkpoints()
    signed = [checkpoint for checkpoint in (*inside, *outside) if _is_signed(checkpoint, key)]
    marks = {checkpoint.seq: checkpoint.record_hash for checkpoint in signed}
    records, fault = walk(_records(), marks, key)
    return ChainReport(records, len(inside), fault or checkpoint_fault(inside, outside, key) or unreadable)


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


def walk(
    rows: Iterable[tuple[SealedRecord, str]], marks: dict[int, str], key: bytes
) -> tuple[int, Fault | None]:
    """Follow the chain; `marks` holds hashes that some records must have. Return how many are good, and any fault."""
    seq, previous = 0, GENESIS
    try:
        for record, stored_hash in rows:
            if finding := _finding(record, stored_hash, seq + 1, previous, key):
                return seq, Fault(finding, min(record.seq, seq + 1))
            if marks.get(record.seq, stored_hash) != stored_hash:
                return seq, Fault(Finding.REPLACED, record.seq)
            seq, previous = record.seq, stored_hash
    except _UNREADABLE:  # not a number, a time or text: never written by Roundhouse
        return seq, Fault(Finding.ALTERED, seq + 1)
    if any(mark > seq for mark in marks):
        return seq, Fault(Finding.CUT, seq + 1)
    return seq, None


def _finding(
    record: SealedRecord, stored_hash: str, expected: int, previous: str, key: bytes
) -> Finding | None:
    if record.seq > expected:
        return Finding.MISSING
    if record.seq < expected:
        return Finding.DUPLICATED
    if not hmac.compare_digest(hash_of(record, key), stored_hash):
        return Finding.ALTERED
    return None if record.previous_hash == previous else Finding.UNLINKED


def _is_signed(checkpoint: Checkpoint, key: bytes) -> bool:
    try:
        return hmac.compare_digest(signature_of(checkpoint, key), checkpoint.signature)
    except _UNREADABLE:
        return False


def _checkpoints() -> tuple[list[Checkpoint], Fault | None]:
    """The checkpoints up to the first that cannot be read."""
    checkpoints: list[Checkpoint] = []
    try:
        for row in _in_order(AuditCheckpoint.objects.values_list(*Checkpoint._fields), "number"):
            checkpoints.append(Checkpoint._make(row))
    except _UNREADABLE:
        return checkpoints, Fault(Finding.CHECKPOINT_ALTERED, len(checkpoints) + 1)
    return checkpoints, None


def _records() -> Iterator[tuple[SealedRecord, str]]:
    for *columns, stored_hash in _in_order(
        AuditRecord.objects.values_list(*SealedRecord._fields, "hash"), "seq"
    ):
        yield SealedRecord._make(columns), stored_hash


def _in_order(rows: QuerySet[Any, tuple[Any, ...]], number: str) -> Iterator[tuple[Any, ...]]:
    """Read rows in order of number, the first column; yield all rows before one that cannot be read."""
    ordered, last = rows.order_by(number), None
    try:
        for row in ordered.iterator(chunk_size=2_000):
            yield row
            last = row[0]
        return
    except (*_UNREADABLE, OperationalError) as error:
        _raise_unless_unreadable(error)
    # The bad row is somewhere in this chunk: continue row by row.
    while following := _first(ordered if last is None else ordered.filter(**{f"{number}__gt": last})):
        yield following
        last = following[0]


def _first(rows: QuerySet[Any, tuple[Any, ...]]) -> tuple[Any, ...] | None:
    try:
        return rows.first()
    except OperationalError as error:
        _raise_unless_unreadable(error)
        raise ValueError("This is not text.") from error


def _raise_unless_unreadable(error: Exception) -> None:
    """SQLite raises the same error for invalid text as for a database that is not responding."""
    if isinstance(error, OperationalError) and "decode" not in str(error):
        raise error
