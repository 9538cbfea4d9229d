"""How a process reaches the workers: batches go out over one connection, replies come back over another."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

from inference.engine.loop import EngineLoop
from inference.errors import WorkersUnreachable
from inference.serving.executors.workers import broker
from inference.serving.executors.workers.broker import LoopConnection, RedisClock, Then
from inference.serving.executors.workers.messages import BatchRequest, batch_of, message_bytes, queue_of
from registry.kit.loops import Backoff, Loop, ThreadGroup, success_noter

_BLOCK_S = 1  # how long one read of the reply list waits, and so how long a stop may take
_STOP_WITHIN_S = 5.0  # even if the loop no longer runs
_BACKOFF = Backoff(first_s=0.1, longest_s=2.0)

PendingReply = asyncio.Future[bytes | None]


class Lane:
    """Sends batches and hands out the replies, on the loop. Replies that come too late are dropped.

    One thread sleeps while the connections are good, and reopens them when they break.
    """

    def __init__(self, url: str, loop: EngineLoop) -> None:
        self.key = broker.key(f"lane:{uuid4().hex}")
        self.clock = RedisClock()
        self.is_up = (
            False  # whether Redis answered recently; while it does not, batches are refused immediately
        )
        self.dropped = 0
        self._url, self._loop = url, loop
        self._sending: LoopConnection | None = None
        self._has_tried = asyncio.Event()
        self._pending: dict[bytes, PendingReply] = {}
        self._thread = ThreadGroup(
            "reply-lane",
            Loop(
                "reply lane",
                lambda: self._loop.wait_for(self._listen(success_noter())),
                meanwhile="predictions are refused",
                backoff=_BACKOFF,
                expected=broker.BROKEN,
            ),
        )

    def start(self) -> "Lane":
        self._thread.start()
        return self

    def stop(self) -> None:
        self._thread.stop(_STOP_WITHIN_S)

    async def check_up(self) -> None:
        """Raise WorkersUnreachable if Redis is unreachable. A process that has just started waits for its first attempt."""
        if not self.is_up:
            await self._has_tried.wait()
        if not self.is_up:
            raise WorkersUnreachable

    async def exchange(
        self, batch: BatchRequest, pool: str, until: float, *, packed: bytes | None = None
    ) -> bytes | None:
        """Send a batch and wait for its reply; None if none arrives before `until`, a time of the monotonic clock.

        `packed`: tensors that are stored under the batch's `data_key`, which expires at its deadline.
        Raises WorkersUnreachable if Redis does not accept the batch.
        """
        reply: PendingReply = self._loop.asyncio.create_future()
        timer = self._loop.asyncio.call_later(max(0.0, until - time.monotonic()), _give_up, reply)
        self._pending[batch.batch.bytes] = reply
        try:
            self._send(batch, pool, packed, then=partial(_fail, reply))
            return await reply
        finally:
            timer.cancel()
            self._pending.pop(batch.batch.bytes, None)

    def _send(self, batch: BatchRequest, pool: str, packed: bytes | None, then: Then) -> None:
        if self._sending is None:
            raise WorkersUnreachable
        if batch.data_key is not None and packed is not None:
            left_s = self.clock.monotonic(batch.deadline) - time.monotonic()
            self._sending.send("SET", batch.data_key, packed, "PX", max(1, int(left_s * 1000)), then=then)
        self._sending.send("LPUSH", broker.key(queue_of(pool)), message_bytes(batch, pool), then=then)

    async def _listen(self, note_success: Callable[[], None]) -> None:
        """Receive replies until a connection breaks or the process stops."""
        try:
            async with broker.connections(self._url, blocks_s=_BLOCK_S) as (sending, listening):
                self.clock = RedisClock()
                while not self._thread.stopping.is_set():
                    await self.clock.sync(sending)
                    self._sending, self.is_up = sending, True
                    self._has_tried.set()
                    note_success()
                    most = max(1, len(self._pending))
                    for reply in await listening.take("L", self.key, most=most, wait_s=_BLOCK_S):
                        self._hand_over(reply)
        finally:
            self._sending, self.is_up = None, False
            self._has_tried.set()

    def _hand_over(self, reply: bytes) -> None:
        pending = self._pending.get(batch_of(reply))
        if pending is None or pending.done():
            self.dropped += 1
        else:
            pending.set_result(reply)


def _give_up(reply: PendingReply) -> None:
    if not reply.done():
        reply.set_result(None)


def _fail(reply: PendingReply, answer: Any) -> None:
    """Called with Redis's answer to a sent message: one that it did not accept gets no reply."""
    if isinstance(answer, Exception) and not reply.done():
        error = WorkersUnreachable()
        error.__cause__ = answer
        reply.set_exception(error)
