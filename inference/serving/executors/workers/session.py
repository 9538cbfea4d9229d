"""A version in the workers, as the batcher sees it: a session whose runs are messages."""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from uuid import uuid4

import structlog

from inference.engine.combiner import Priority
from inference.engine.errors import DeadlineExceeded, EngineStopped, RunFailed, RunStuck, SlotLost
from inference.engine.loop import EngineLoop, off_loop_if_large
from inference.serving.executors.workers import broker
from inference.serving.executors.workers.budget import ResendBudget
from inference.serving.executors.workers.lane import Lane
from inference.serving.executors.workers.messages import KEPT_ASIDE, Ask, BadPacket, Reply, read_reply
from inference.serving.executors.workers.packing import pack
from inference.tensors.arrays import Array, Tensors
from inference.tensors.signature import Signature

log = structlog.get_logger("roundhouse.lane")

_SHORTEST_LEASE_S = 1.0
_LEASE_IN_RUNS = 20
_WEIGHT = 0.05


class Post:
    """What all remote sessions of a process share: the way out and back, and how often to try again."""

    def __init__(self, url: str, loop: EngineLoop, *, budget: ResendBudget | None = None) -> None:
        self.loop = loop
        self.lane = Lane(url, loop).start()
        self.budget = budget or ResendBudget()
        self.resent = 0

    def close(self) -> None:
        self.lane.stop()


class RemoteSession:
    """Asks whichever worker of the pool takes the batch; several may be under way at once. Lives on the loop."""

    provider = "workers"

    def __init__(
        self, post: Post, signature: Signature, *, version_id: int, pool: str, priority: Priority
    ) -> None:
        self.signature = signature
        self._post = post
        self._version_id, self._pool, self._priority = version_id, pool, priority
        self._round_trip_s = 0.0  # moving means
        self.compute_s = 0.0  # in the worker

    async def ask(
        self, inputs: Tensors, outputs: Sequence[str] | None, *, ends_at: float
    ) -> dict[str, Array]:
        """Ask the workers, and once more where the answer seems lost."""
        post = self._post
        await post.lane.check_up()
        started = time.monotonic()
        nbytes = sum(tensor.nbytes for tensor in inputs.values())
        packed = await off_loop_if_large(nbytes, partial(pack, inputs))
        ask = self._message(packed, outputs, ends_at)
        post.budget.earn()
        reply = await self._attempt(ask, packed, started + self._lease_s(ends_at - started))
        if reply is None or _is_given_back(reply):
            reply = await self._once_more(ask, packed, ends_at)
        if reply.error is not None:
            raise reply.error
        self._round_trip_s += _WEIGHT * (time.monotonic() - started - self._round_trip_s)
        self.compute_s += _WEIGHT * (reply.compute_s - self.compute_s)
        return reply.outputs

    def footprint_bytes(self) -> int:
        return 0

    def _message(self, packed: bytes, outputs: Sequence[str] | None, ends_at: float) -> Ask:
        batch, travels_beside = uuid4(), len(packed) > KEPT_ASIDE
        return Ask(
            batch=batch,
            attempt=1,
            lane=self._post.lane.key,
            version_id=self._version_id,
            deadline=self._post.lane.clock.at(ends_at),
            priority=self._priority,
            outputs=None if outputs is None else tuple(outputs),
            tensors=None if travels_beside else packed,
            data_key=broker.key(f"batch:{batch.hex}") if travels_beside else None,
        )

    async def _attempt(self, ask: Ask, packed: bytes, until: float) -> Reply | None:
        """The reply; None where there is none in time."""
        found = await self._post.lane.exchange(ask, self._pool, until, packed=packed)
        if found is None:
            return None
        try:
            return await off_loop_if_large(len(found), partial(read_reply, found))
        except BadPacket as odd:
            raise RunFailed("A worker's answer could not be read.") from odd

    async def _once_more(self, ask: Ask, packed: bytes, ends_at: float) -> Reply:
        """The worker that took the batch is gone, or slow: whoever answers first is believed."""
        await self._post.lane.check_up()
        if not self._post.budget.spend():
            raise SlotLost
        self._post.resent += 1
        log.warning("batch is sent once more", version_id=self._version_id, batch=ask.batch.hex)
        reply = await self._attempt(replace(ask, attempt=2), packed, ends_at)
        if reply is None:
            raise DeadlineExceeded
        if _is_given_back(reply):
            raise SlotLost
        return reply

    def _lease_s(self, left_s: float) -> float:
        """How long an answer may take before it counts as lost: many usual ones, a third of the time at most."""
        return min(left_s / 3, max(_SHORTEST_LEASE_S, _LEASE_IN_RUNS * self._round_trip_s))


def _is_given_back(reply: Reply) -> bool:
    """Whether a worker that is leaving has left the batch to another."""
    return isinstance(reply.error, (EngineStopped, RunStuck))
