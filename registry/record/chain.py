"""The seals of audit records and checkpoints: HMAC-SHA256 over each row, with its predecessor's seal."""

import hmac
import json
from datetime import UTC, datetime
from typing import Final, NamedTuple

GENESIS: Final = "0" * 64  # the predecessor of the first record and of the first checkpoint


class SealedRecord(NamedTuple):
    """A record's columns, in the order in which they are sealed."""

    seq: int
    at: datetime
    actor_name: str
    user_id: int | None
    key_id: int | None
    source: str
    request_id: str
    action: str
    object_kind: str
    object_id: str
    object_label: str
    model_slug: str
    before_json: str
    after_json: str
    reason: str
    previous_hash: str


class Checkpoint(NamedTuple):
    """A checkpoint's columns."""

    number: int
    at: datetime
    seq: int
    record_hash: str
    previous_signature: str
    signature: str


def hash_of(record: SealedRecord, key: bytes) -> str:
    return _seal(key, "roundhouse audit record 1", [record.seq, _stamp(record.at), *record[2:]])


def signature_of(checkpoint: Checkpoint, key: bytes) -> str:
    """Sign everything but the signature."""
    number, at, seq, record_hash, previous_signature, _ = checkpoint
    return _seal(
        key,
        "roundhouse audit checkpoint 1",
        [number, _stamp(at), seq, record_hash, previous_signature],
    )


def _seal(key: bytes, purpose: str, columns: list[int | str | None]) -> str:
    # A JSON list, so that no two rows produce the same text.
    text = json.dumps([purpose, *columns], ensure_ascii=True, separators=(",", ":"))
    return hmac.digest(key, text.encode(), "sha256").hex()


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")
