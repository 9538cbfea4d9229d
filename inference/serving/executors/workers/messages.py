"""What is asked of a worker and what it answers: a Celery message one way, bytes the other."""

import socket
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
import orjson

from inference.engine.combiner import Priority
from inference.serving.executors.workers import errors
from inference.serving.executors.workers.packing import BadPacket, Packet, pack, unpack
from inference.tensors.arrays import Tensors
from inference.tensors.errors import InferenceError

RUN_BATCH = "inference.run_batch"
KEPT_ASIDE = 32 << 10  # bytes of tensors; more travel beside the message, which would carry them 1.8 times
_ID_BYTES = 16
_ORIGIN = socket.gethostname()
# The third part of a Celery message's body: what happens to its result. Nothing: it has none.
_NO_FOLLOW_UP = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


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


def message_bytes(ask: Ask, pool: str) -> bytes:
    """The message as Celery's senders write it into Redis: its second protocol, in kombu's envelope.

    No `expires`: it would be measured by the worker's own clock.
    """
    task_id, queue = str(ask.batch), queue_of(pool)
    return orjson.dumps(
        {
            "body": b64encode(orjson.dumps(((), ask.to_kwargs(), _NO_FOLLOW_UP))).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {
                "lang": "py",
                "task": RUN_BATCH,
                "id": task_id,
                "root_id": task_id,
                "parent_id": None,
                "group": None,
                "shadow": None,
                "eta": None,
                "expires": None,
                "retries": 0,
                "timelimit": (None, None),
                "argsrepr": "()",
                "kwargsrepr": "{}",
                "origin": _ORIGIN,
                "ignore_result": True,
            },
            "properties": {
                "correlation_id": task_id,
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": queue},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": f"{task_id}-{ask.attempt}",
            },
        }
    )


def read_message(raw: bytes) -> Mapping[str, Any]:
    """The keyword arguments of a message of RUN_BATCH, from whichever sender of Celery's; raise BadPacket for anything else."""
    try:
        message = orjson.loads(raw)
        task = message["headers"]["task"]
        body: str | bytes = message["body"]
        if message["properties"]["body_encoding"] == "base64":
            body = b64decode(body, validate=True)
        _, kwargs, _ = orjson.loads(body)
    except (KeyError, TypeError, ValueError) as error:  # neither JSON nor base64 is a ValueError too
        raise BadPacket(f"No Celery message in JSON: {type(error).__name__}.") from error
    if task != RUN_BATCH or not isinstance(kwargs, dict):
        raise BadPacket(f"No batch: task {str(task)[:100]!r}.")
    return kwargs


@dataclass(frozen=True, slots=True)
class Reply:
    """A worker's answer: outputs, or the error that was raised there."""

    outputs: dict[str, np.ndarray[Any, Any]]
    error: InferenceError | None
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
    "batch_of", "message_bytes", "queue_of", "read_message", "read_reply", "refusal_bytes", "reply_bytes",
]  # fmt: skip
