"""How a process asks the workers: messages go out over one connection, replies come over another from its own list."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

from inference.engine.loop import EngineLoop
from inference.serving.executors.workers import broker
from inference.serving.executors.workers.broker import LoopConnection, Then
from inference.serving.executors.workers.clock import RedisClock
from inference.serving.executors.workers.errors import WorkersUnreachable
from inference.serving.executors.workers.messages import Ask, batch_of, message_bytes, queue_of
from registry.kit.loops import Backoff, Loop, ThreadGroup, success_noter

_BLOCK_S = 1  # so long one look at the list takes, and so long a stop may take
_STOP_WITHIN_S = 5.0  # also where the loop does not run any more
_BACKOFF = Backoff(first_s=0.1, longest_s=2.0)

Waiting = asyncio.Future[bytes | None]


class Lane:
    """The way to the workers and back; all of it lives on the loop. Replies that nobody waits for any more are dropped.

    One thread sleeps while the connections are good, and opens them again when they are not.
    """

    def __init__(self, url: str, loop: EngineLoop) -> None:
        self.key = broker.key(f"lane:{uuid4().hex}")
        self.clock = RedisClock()
        self.is_up = False  # whether Redis answered lately; what is asked meanwhile would wait in vain
        self.dropped = 0
        self._url, self._loop = url, loop
        self._sending: LoopConnection | None = None
        self._has_tried = asyncio.Event()
        self._waiting: dict[bytes, Waiting] = {}
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
        """Raise WorkersUnreachable where Redis is away; a process that has just begun may still be connecting."""
        if not self.is_up:
            await self._has_tried.wait()
        if not self.is_up:
            raise WorkersUnreachable

    async def exchange(
        self, ask: Ask, pool: str, until: float, *, packed: bytes | None = None
    ) -> bytes | None:
        """Send a batch and wait for its reply; None where there is none until that time of the monotonic clock.

        `packed`: tensors that travel beside the message, under its `data_key`, and go by themselves at its deadline.
        Raises WorkersUnreachable where Redis does not take it.
        """
        reply: Waiting = self._loop.asyncio.create_future()
        timer = self._loop.asyncio.call_later(max(0.0, until - time.monotonic()), _give_up, reply)
        self._waiting[ask.batch.bytes] = reply
        try:
            self._send(ask, pool, packed, then=partial(_fail, reply))
            return await reply
        finally:
            timer.cancel()
            self._waiting.pop(ask.batch.bytes, None)

    def _send(self, ask: Ask, pool: str, packed: bytes | None, then: Then) -> None:
        if self._sending is None:
            raise WorkersUnreachable
        if ask.data_key is not None and packed is not None:
            left_s = self.clock.monotonic(ask.deadline) - time.monotonic()
            self._sending.send("SET", ask.data_key, packed, "PX", max(1, int(left_s * 1000)), then=then)
        self._sending.send("LPUSH", broker.key(queue_of(pool)), message_bytes(ask, pool), then=then)

    async def _listen(self, note_success: Callable[[], None]) -> None:
        """Until a connection breaks, or the process stops."""
        try:
            async with broker.connections(self._url, blocks_s=_BLOCK_S) as (sending, listening):
                self.clock = RedisClock()
                while not self._thread.stopping.is_set():
                    await self.clock.ask(sending)
                    self._sending, self.is_up = sending, True
                    self._has_tried.set()
                    note_success()
                    most = max(1, len(self._waiting))
                    for reply in await listening.take("L", self.key, most=most, wait_s=_BLOCK_S):
                        self._hand_over(reply)
        finally:
            self._sending, self.is_up = None, False
            self._has_tried.set()

    def _hand_over(self, reply: bytes) -> None:
        waiting = self._waiting.get(batch_of(reply))
        if waiting is None or waiting.done():
            self.dropped += 1
        else:
            waiting.set_result(reply)


def _give_up(reply: Waiting) -> None:
    if not reply.done():
        reply.set_result(None)


def _fail(reply: Waiting, answer: Any) -> None:
    """What Redis said of a message: nobody waits for one that it did not take."""
    if isinstance(answer, Exception) and not reply.done():
        error = WorkersUnreachable()
        error.__cause__ = answer
        reply.set_exception(error)
