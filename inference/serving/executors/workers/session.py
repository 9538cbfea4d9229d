"""A version in the workers, as the batcher sees it: a session whose runs are messages."""

import time
from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid4

import structlog

from inference.engine.backends import Tensors, type_ndarray
from inference.engine.combiner import Priority
from inference.engine.errors import DeadlineExceeded, EngineStopped, RunFailed, RunStuck, SlotLost
from inference.engine.signature import Signature
from inference.serving.executors.workers import broker
from inference.serving.executors.workers.broker import Publisher
from inference.serving.executors.workers.budget import ResendBudget
from inference.serving.executors.workers.errors import WorkersUnreachable
from inference.serving.executors.workers.lane import Lane, Waiter
from inference.serving.executors.workers.messages import KEPT_ASIDE, Ask, BadPacket, Reply, read_reply
from inference.serving.executors.workers.packing import pack

log = structlog.get_logger("roundhouse.lane")

_SHORTEST_LEASE_S = 1.0
_LEASE_IN_RUNS = 20
_WEIGHT = 0.05


class Post:
    """What all remote sessions of a process share: the way out, the way back, and how often to try again."""

    def __init__(self, url: str, *, budget: ResendBudget | None = None) -> None:
        self.publisher = Publisher(url)
        self.lane = Lane(url).start()
        self.budget = budget or ResendBudget()
        self.resent = 0

    def close(self) -> None:
        self.lane.stop()
        self.publisher.close()


class RemoteSession:
    """Runs a batch in whichever worker of the pool takes it; several may be under way at once."""

    provider = "workers"
    is_steady = False

    def __init__(
        self, post: Post, signature: Signature, *, version_id: int, pool: str, priority: Priority
    ) -> None:
        self.signature = signature
        self._post = post
        self._version_id, self._pool, self._priority = version_id, pool, priority
        self._round_trip_s = 0.0  # moving means
        self.compute_s = 0.0  # in the worker

    def run(
        self, inputs: Tensors, outputs: Sequence[str] | None = None, *, soft_limit_s: float | None = None
    ) -> dict[str, type_ndarray]:
        """Ask the workers and wait, for `soft_limit_s` at most; ask once more where the answer seems lost."""
        if not self._post.lane.is_up:
            raise WorkersUnreachable
        started = time.monotonic()
        ends = started + (soft_limit_s or 0.0)
        ask = self._ask(inputs, outputs, ends)
        waiter = self._post.lane.expect(ask.batch.bytes)
        try:
            self._post.budget.earn()
            self._publish(ask)
            reply = self._wait(waiter, started + self._lease_s(ends - started))
            if reply is None:
                reply = self._once_more(ask, waiter, ends)
        finally:
            self._post.lane.forget(ask.batch.bytes)
        if reply.error is not None:
            raise reply.error
        self._round_trip_s += _WEIGHT * (time.monotonic() - started - self._round_trip_s)
        self.compute_s += _WEIGHT * (reply.compute_s - self.compute_s)
        return reply.outputs

    def footprint_bytes(self) -> int:
        return 0

    def close(self) -> None: ...

    def _ask(self, inputs: Tensors, outputs: Sequence[str] | None, ends: float) -> Ask:
        packed, batch, data_key = pack(inputs), uuid4(), None
        if len(packed) > KEPT_ASIDE:
            data_key = broker.key(f"batch:{batch.hex}")
            try:
                self._post.publisher.keep(data_key, packed, ends - time.monotonic())
            except broker.BROKEN as error:
                raise WorkersUnreachable from error
        return Ask(
            batch=batch,
            attempt=1,
            lane=self._post.lane.key,
            version_id=self._version_id,
            deadline=self._post.lane.clock.at(ends),
            priority=self._priority,
            outputs=None if outputs is None else tuple(outputs),
            tensors=None if data_key else packed,
            data_key=data_key,
        )

    def _publish(self, ask: Ask) -> None:
        try:
            self._post.publisher.publish(ask, self._pool)
        except broker.BROKEN as error:
            raise WorkersUnreachable from error

    def _once_more(self, ask: Ask, waiter: Waiter, ends: float) -> Reply:
        """The worker that took the batch is gone, or slow: whoever answers first is believed."""
        if not self._post.lane.is_up:
            raise WorkersUnreachable
        if not self._post.budget.spend():
            raise SlotLost
        self._post.resent += 1
        log.warning("batch is sent once more", version_id=self._version_id, batch=ask.batch.hex)
        if waiter.reply is not None:  # a worker refused it, so nobody is listened for any more
            waiter = self._post.lane.expect(ask.batch.bytes)
        self._publish(replace(ask, attempt=2))
        reply = self._wait(waiter, ends)
        if reply is None:
            raise DeadlineExceeded if time.monotonic() >= ends else SlotLost
        return reply

    def _wait(self, waiter: Waiter, until: float) -> Reply | None:
        """The reply; None where there is none in time, or where a worker that is leaving gave the batch back."""
        if not waiter.wait(until - time.monotonic()) or waiter.reply is None:
            return None
        try:
            reply = read_reply(waiter.reply)
        except BadPacket as odd:
            raise RunFailed("A worker's answer could not be read.") from odd
        is_given_back = isinstance(reply.error, (EngineStopped, RunStuck))
        return None if is_given_back else reply

    def _lease_s(self, left_s: float) -> float:
        """How long an answer may take before it counts as lost: many usual ones, a third of the time at most."""
        return min(left_s / 3, max(_SHORTEST_LEASE_S, _LEASE_IN_RUNS * self._round_trip_s))
