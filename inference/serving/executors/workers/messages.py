"""What is asked of a worker and what it answers: Celery keyword arguments one way, bytes the other."""

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np

from inference.engine.backends import Tensors
from inference.engine.combiner import Priority
from inference.engine.errors import EngineError
from inference.serving.executors.workers import errors
from inference.serving.executors.workers.packing import BadPacket, Packet, pack, unpack

RUN_BATCH = "inference.run_batch"
KEPT_ASIDE = 32 << 10  # bytes of tensors; more travel beside the message, which would carry them 1.8 times
_ID_BYTES = 16


def queue_of(pool: str) -> str:
    return f"pool.{pool}"


@dataclass(frozen=True, slots=True)
class Ask:
    """One batch on its way to a worker. `deadline` is a time of Redis's clock."""

    batch: UUID
    attempt: int
    lane: str  # the Redis list that the asking process listens to
    version_id: int
    deadline: float
    priority: Priority
    outputs: tuple[str, ...] | None
    tensors: bytes | None  # packed; None: under `data_key`
    data_key: str | None

    def to_kwargs(self) -> dict[str, Any]:
        return {
            "batch": self.batch.hex,
            "attempt": self.attempt,
            "lane": self.lane,
            "version": self.version_id,
            "deadline": self.deadline,
            "priority": int(self.priority),
            "outputs": self.outputs,
            "tensors": None if self.tensors is None else b64encode(self.tensors).decode(),
            "data_key": self.data_key,
        }

    @classmethod
    def from_kwargs(cls, told: Mapping[str, Any]) -> "Ask":
        """Read what `to_kwargs` gave; raise BadPacket for anything else."""
        try:
            return cls(
                batch=UUID(hex=told["batch"]),
                attempt=int(told["attempt"]),
                lane=str(told["lane"]),
                version_id=int(told["version"]),
                deadline=float(told["deadline"]),
                priority=Priority(told["priority"]),
                outputs=None if told["outputs"] is None else tuple(map(str, told["outputs"])),
                tensors=None if told["tensors"] is None else b64decode(told["tensors"], validate=True),
                data_key=None if told["data_key"] is None else str(told["data_key"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError, NotBase64) as error:
            raise BadPacket(f"No batch: {type(error).__name__}.") from error


@dataclass(frozen=True, slots=True)
class Reply:
    """A worker's answer: outputs, or the error that was raised there."""

    outputs: dict[str, np.ndarray[Any, Any]]
    error: EngineError | None
    attempt: int
    worker: str
    compute_s: float


def reply_bytes(ask: Ask, worker: str, outputs: Tensors, compute_s: float) -> bytes:
    facts = {"attempt": ask.attempt, "worker": worker, "compute_s": compute_s}
    return ask.batch.bytes + pack(outputs, facts)


def refusal_bytes(ask: Ask, worker: str, error: Exception) -> bytes:
    facts = {"attempt": ask.attempt, "worker": worker, "error": errors.told(error)}
    return ask.batch.bytes + pack({}, facts)


def batch_of(reply: bytes) -> bytes:
    return reply[:_ID_BYTES]


def read_reply(reply: bytes) -> Reply:
    facts, outputs = unpack(memoryview(reply)[_ID_BYTES:])
    error = facts.get("error")
    try:
        return Reply(
            outputs,
            errors.raised(error) if error is not None else None,
            int(facts["attempt"]),
            str(facts["worker"]),
            float(facts.get("compute_s", 0.0)),
        )
    except (KeyError, TypeError, ValueError) as odd:
        raise BadPacket(f"No reply: {type(odd).__name__}.") from odd


__all__ = [
    "KEPT_ASIDE", "RUN_BATCH", "Ask", "BadPacket", "Packet", "Reply",
    "batch_of", "queue_of", "read_reply", "refusal_bytes", "reply_bytes",
]  # fmt: skip
