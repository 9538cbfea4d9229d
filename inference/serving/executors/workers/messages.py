"""The messages between web processes and workers: a Celery message one way, bytes the other."""

import socket
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

import numpy as np
import orjson

from inference.engine import errors as engine_errors
from inference.engine.combiner import Priority
from inference.errors import Loading, Stopping
from inference.serving.executors.workers.packing import BadPacket, pack, unpack
from inference.tensors.arrays import Tensors
from inference.tensors.errors import InferenceError, InvalidInput
from registry.errors import RoundhouseError

RUN_BATCH = "inference.run_batch"
MAX_INLINE_BYTES = (
    32 << 10
)  # of tensors; larger ones get their own key: base64 in JSON takes 1.8 times as much
_ID_BYTES = 16
_ORIGIN = socket.gethostname()
# The third part of a Celery message's body: what to do with the result.
_NO_FOLLOW_UP = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def queue_of(pool: str) -> str:
    return f"pool.{pool}"


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """One batch on its way to a worker. `deadline` is a time on Redis's clock."""

    batch: UUID
    attempt: int
    lane: str  # the Redis list that the sender reads its replies from
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
    def from_kwargs(cls, kwargs: Mapping[str, Any]) -> "BatchRequest":
        """The inverse of `to_kwargs`; raises BadPacket for anything else."""
        try:
            return cls(
                batch=UUID(hex=kwargs["batch"]),
                attempt=int(kwargs["attempt"]),
                lane=str(kwargs["lane"]),
                version_id=int(kwargs["version"]),
                deadline=float(kwargs["deadline"]),
                priority=Priority(kwargs["priority"]),
                outputs=None if kwargs["outputs"] is None else tuple(map(str, kwargs["outputs"])),
                tensors=None if kwargs["tensors"] is None else b64decode(kwargs["tensors"], validate=True),
                data_key=None if kwargs["data_key"] is None else str(kwargs["data_key"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError, NotBase64) as error:
            raise BadPacket(f"Not a batch: {type(error).__name__}.") from error


def message_bytes(batch: BatchRequest, pool: str) -> bytes:
    """The message as Celery itself would write it to Redis: protocol 2 in kombu's envelope.

    Without `expires`, which would be compared with the worker's own clock.
    """
    task_id, queue = str(batch.batch), queue_of(pool)
    return orjson.dumps(
        {
            "body": b64encode(orjson.dumps(((), batch.to_kwargs(), _NO_FOLLOW_UP))).decode(),
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
                "delivery_tag": f"{task_id}-{batch.attempt}",
            },
        }
    )


def read_message(raw: bytes) -> Mapping[str, Any]:
    """The keyword arguments of a RUN_BATCH message, whichever Celery sender wrote it; raises BadPacket for anything else."""
    try:
        message = orjson.loads(raw)
        task = message["headers"]["task"]
        body: str | bytes = message["body"]
        if message["properties"]["body_encoding"] == "base64":
            body = b64decode(body, validate=True)
        _, kwargs, _ = orjson.loads(body)
    except (KeyError, TypeError, ValueError) as error:  # invalid JSON or base64 raises a ValueError too
        raise BadPacket(f"Not a Celery message in JSON: {type(error).__name__}.") from error
    if task != RUN_BATCH or not isinstance(kwargs, dict):
        raise BadPacket(f"Not a batch: task {str(task)[:100]!r}.")
    return kwargs


@dataclass(frozen=True, slots=True)
class BatchReply:
    """A worker's reply: outputs, or the error that was raised there."""

    outputs: dict[str, np.ndarray[Any, Any]]
    error: InferenceError | None
    attempt: int
    worker: str
    compute_s: float


def reply_bytes(batch: BatchRequest, worker: str, outputs: Tensors, compute_s: float) -> bytes:
    facts = {"attempt": batch.attempt, "worker": worker, "compute_s": compute_s}
    return batch.batch.bytes + pack(outputs, facts)


def refusal_bytes(batch: BatchRequest, worker: str, error: Exception) -> bytes:
    facts = {"attempt": batch.attempt, "worker": worker, "error": encode_error(error)}
    return batch.batch.bytes + pack({}, facts)


def batch_of(reply: bytes) -> bytes:
    return reply[:_ID_BYTES]


def read_reply(reply: bytes) -> BatchReply:
    facts, outputs = unpack(memoryview(reply)[_ID_BYTES:])
    error = facts.get("error")
    try:
        return BatchReply(
            outputs,
            decode_error(error) if error is not None else None,
            int(facts["attempt"]),
            str(facts["worker"]),
            float(facts.get("compute_s", 0.0)),
        )
    except (KeyError, TypeError, ValueError) as bad:
        raise BadPacket(f"Not a reply: {type(bad).__name__}.") from bad


def encode_error(error: Exception) -> dict[str, Any]:
    """An error in the form that a reply carries; an unexpected one becomes RunFailed."""
    if isinstance(error, InvalidInput):
        more = {"field": error.field, "expected": error.expected, "got": error.got}
        return {"code": error.code, "message": str(error), "more": more}
    if isinstance(error, Loading):
        return {"code": engine_errors.StillLoading.code, "message": str(error)}
    if isinstance(error, Stopping):
        return {"code": engine_errors.EngineStopped.code, "message": str(error)}
    if isinstance(error, RoundhouseError):
        return {"code": engine_errors.LoadFailed.code, "message": str(error)}
    if isinstance(error, InferenceError):
        return {"code": error.code, "message": str(error)}
    return {"code": engine_errors.RunFailed.code, "message": str(engine_errors.RunFailed())}


def decode_error(encoded: Mapping[str, Any]) -> InferenceError:
    """An error of the class that was encoded."""
    kind = _error_classes().get(encoded["code"], engine_errors.RunFailed)
    if issubclass(kind, InvalidInput):
        return kind(encoded["message"], **encoded.get("more", {}))
    return kind(encoded["message"])


@cache
def _error_classes() -> Mapping[str, type[InferenceError]]:
    return {kind.code: kind for kind in _subclasses_first(InferenceError)}


def _subclasses_first(kind: type[InferenceError]) -> Iterator[type[InferenceError]]:
    # So that, of two classes with the same code, decoding uses the parent.
    for child in kind.__subclasses__():
        yield from _subclasses_first(child)
    yield kind
