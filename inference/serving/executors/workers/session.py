"""A version in the workers as the batcher sees it: a session whose runs are messages, sent again if they seem lost."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from uuid import uuid4

import structlog

from inference.engine.combiner import Priority
from inference.engine.errors import DeadlineExceeded, EngineStopped, RunFailed, RunStuck, SlotLost
from inference.engine.loop import EngineLoop, off_loop_if_large
from inference.serving.executors.workers import broker
from inference.serving.executors.workers.lane import Lane
from inference.serving.executors.workers.messages import (
    MAX_INLINE_BYTES,
    BatchReply,
    BatchRequest,
    read_reply,
)
from inference.serving.executors.workers.packing import BadPacket, pack
from inference.tensors.arrays import Array, Tensors
from inference.tensors.signature import Signature

log = structlog.get_logger("roundhouse.lane")

_SHORTEST_LEASE_S = 1.0
_LEASE_IN_RUNS = 20
_WEIGHT = 0.05


class ResendBudget:
    """How many batches may be sent again: each batch earns part of a token, each second earns more, a resend costs one.

    When workers are merely slow, every batch seems lost, and sending them all twice would slow the workers further.
    """

    def __init__(
        self,
        *,
        share: float = 0.1,
        each_s: float = 1.0,
        most: float = 20.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._share, self._each_s, self._most, self._clock = share, each_s, most, clock
        self._tokens = most
        self._at = clock()
        self._lock = threading.Lock()

    def earn(self) -> None:
        """Call this for each new batch."""
        with self._lock:
            self._tokens = min(self._most, self._tokens + self._share)

    def spend(self) -> bool:
        """Whether a batch may be sent again."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self._most, self._tokens + (now - self._at) * self._each_s)
            self._at = now
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True


class WorkersLink:
    """What all sessions of a process share: the lane to the workers, and the resend budget."""

    def __init__(self, url: str, loop: EngineLoop, *, budget: ResendBudget | None = None) -> None:
        self.loop = loop
        self.lane = Lane(url, loop).start()
        self.budget = budget or ResendBudget()
        self.resent = 0

    def close(self) -> None:
        self.lane.stop()


class WorkersSession:
    """Sends batches to the workers of a pool, several at the same time. Lives on the loop."""

    provider = "workers"

    def __init__(
        self, link: WorkersLink, signature: Signature, *, version_id: int, pool: str, priority: Priority
    ) -> None:
        self.signature = signature
        self._link = link
        self._version_id, self._pool, self._priority = version_id, pool, priority
        self._round_trip_s = 0.0  # moving averages
        self.compute_s = 0.0  # in the worker

    async def ask(
        self, inputs: Tensors, outputs: Sequence[str] | None, *, ends_at: float
    ) -> dict[str, Array]:
        """Run a batch in a worker, and in another if the reply seems lost."""
        link = self._link
        await link.lane.check_up()
        started = time.monotonic()
        nbytes = sum(tensor.nbytes for tensor in inputs.values())
        packed = await off_loop_if_large(nbytes, partial(pack, inputs))
        batch = self._request(packed, outputs, ends_at)
        link.budget.earn()
        reply = await self._attempt(batch, packed, started + self._lease_s(ends_at - started))
        if reply is None or _was_handed_back(reply):
            reply = await self._resend(batch, packed, ends_at)
        if reply.error is not None:
            raise reply.error
        self._round_trip_s += _WEIGHT * (time.monotonic() - started - self._round_trip_s)
        self.compute_s += _WEIGHT * (reply.compute_s - self.compute_s)
        return reply.outputs

    def footprint_bytes(self) -> int:
        return 0

    def _request(self, packed: bytes, outputs: Sequence[str] | None, ends_at: float) -> BatchRequest:
        batch_id, is_inline = uuid4(), len(packed) <= MAX_INLINE_BYTES
        return BatchRequest(
            batch=batch_id,
            attempt=1,
            lane=self._link.lane.key,
            version_id=self._version_id,
            deadline=self._link.lane.clock.at(ends_at),
            priority=self._priority,
            outputs=None if outputs is None else tuple(outputs),
            tensors=packed if is_inline else None,
            data_key=None if is_inline else broker.key(f"batch:{batch_id.hex}"),
        )

    async def _attempt(self, batch: BatchRequest, packed: bytes, until: float) -> BatchReply | None:
        """The reply; None if there is none in time."""
        raw = await self._link.lane.exchange(batch, self._pool, until, packed=packed)
        if raw is None:
            return None
        try:
            return await off_loop_if_large(len(raw), partial(read_reply, raw))
        except BadPacket as error:
            raise RunFailed("A worker's answer could not be read.") from error

    async def _resend(self, batch: BatchRequest, packed: bytes, ends_at: float) -> BatchReply:
        """Send the batch again: its worker has ended or is slow. The first reply counts."""
        await self._link.lane.check_up()
        if not self._link.budget.spend():
            raise SlotLost
        self._link.resent += 1
        log.warning("batch is sent once more", version_id=self._version_id, batch=batch.batch.hex)
        reply = await self._attempt(replace(batch, attempt=2), packed, ends_at)
        if reply is None:
            raise DeadlineExceeded
        if _was_handed_back(reply):
            raise SlotLost
        return reply

    def _lease_s(self, left_s: float) -> float:
        """How long until a reply counts as lost: many usual round trips, or a third of the remaining time."""
        return min(left_s / 3, max(_SHORTEST_LEASE_S, _LEASE_IN_RUNS * self._round_trip_s))


def _was_handed_back(reply: BatchReply) -> bool:
    """Whether a worker that is shutting down has left the batch to another."""
    return isinstance(reply.error, (EngineStopped, RunStuck))
