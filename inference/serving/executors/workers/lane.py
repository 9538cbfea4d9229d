"""The reply lane of a process: one Redis list, one thread that takes replies from it and wakes who waits."""

import threading
from typing import cast
from uuid import uuid4

import redis

from inference.serving.executors.workers import broker
from inference.serving.executors.workers.clock import RedisClock
from inference.serving.executors.workers.messages import batch_of
from registry.loops import Backoff, Loop, ThreadGroup, note_success

_BLOCK_S = 1  # so long one look at the list takes, and so long a stop may take
_BACKOFF = Backoff(first_s=0.1, longest_s=2.0)


class Waiter:
    """One batch that is under way; `reply` is there once `wait` has said so."""

    __slots__ = ("_gate", "reply")

    def __init__(self) -> None:
        self._gate = threading.Lock()
        self._gate.acquire()
        self.reply: bytes | None = None

    def wait(self, seconds: float) -> bool:
        return self._gate.acquire(timeout=max(0.0, seconds))

    def give(self, reply: bytes) -> None:
        self.reply = reply
        self._gate.release()


class Lane:
    """Replies for this process. Those for batches that nobody waits for any more are dropped."""

    def __init__(self, url: str) -> None:
        self.key = broker.key(f"lane:{uuid4().hex}")
        self.clock = RedisClock()
        self.is_up = False  # whether Redis answered lately; what is asked meanwhile would wait in vain
        self.dropped = 0
        self._url = url
        self._waiting: dict[bytes, Waiter] = {}
        self._thread = ThreadGroup(
            "reply-lane",
            Loop(
                "reply lane",
                self._listen,
                meanwhile="predictions are refused",
                backoff=_BACKOFF,
                expected=broker.BROKEN,
            ),
        )

    def start(self) -> "Lane":
        self._thread.start()
        return self

    def stop(self) -> None:
        self._thread.stop()

    def expect(self, batch: bytes) -> Waiter:
        waiter = self._waiting[batch] = Waiter()
        return waiter

    def forget(self, batch: bytes) -> None:
        self._waiting.pop(batch, None)

    def _listen(self) -> None:
        """Until the connection breaks, or the process stops."""
        try:
            with broker.redis_client(self._url, patience_s=_BLOCK_S + 2.0) as client:
                self.clock.forget()
                while not self._thread.stopping.is_set():
                    self._take_one(client)
        finally:
            self.is_up = False

    def _take_one(self, client: "redis.Redis") -> None:
        self.clock.ask(client)
        self.is_up = True
        note_success()
        found = client.blpop([self.key], timeout=_BLOCK_S)
        if found is not None:
            self._hand_over(cast("bytes", found[1]))

    def _hand_over(self, reply: bytes) -> None:
        waiter = self._waiting.pop(batch_of(reply), None)
        if waiter is None:
            self.dropped += 1
        else:
            waiter.give(reply)
