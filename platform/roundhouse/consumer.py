"""Celery's consumer, watched: whether it consumes, and how many messages it was handed."""

import time
from collections.abc import Callable
from typing import Any

from celery.worker import state
from celery.worker.consumer import Consumer
from django.conf import settings

from inference.serving import queues
from inference.serving.worker_process import QueueProgress
from roundhouse.launch import worker_queues

# Celery pauses up to 30 s between two attempts to connect, also when the broker has answered others meanwhile.
RECONNECTS_WITHIN_S = 60.0


class Deliveries:
    """Whether Celery's consumer still takes what waits for it. It need not while every thread is busy.

    Celery's signal `task_received` would not do: it is not sent for a message that has expired, and a backlog of those would look
    like a consumer that takes nothing.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._moved = 0
        self._has_consumed = self._is_consuming = False
        self._reachable_since: float | None = None  # the broker, while the consumer has no connection to it

    def note_consuming(self) -> None:
        """It has subscribed to its queues, for the first time or again: from now on it can be late."""
        self._has_consumed = self._is_consuming = True
        self._moved += 1

    def note_lost_connection(self) -> None:
        self._is_consuming = False
        self._reachable_since = None

    def note_delivery(self) -> None:
        self._moved += 1

    def seen(self) -> QueueProgress:
        has_room = len(state.reserved_requests) < settings.WORKER_THREADS
        try:
            has_messages = sum(queues.depths(worker_queues()).values()) > 0
        except Exception:
            self._reachable_since = None
            raise
        return QueueProgress(has_messages and has_room and self._should_consume(), self._moved)

    def _should_consume(self) -> bool:
        if self._is_consuming or not self._has_consumed:
            return self._is_consuming
        if self._reachable_since is None:
            self._reachable_since = self._clock()
        return self._clock() - self._reachable_since >= RECONNECTS_WITHIN_S


deliveries = Deliveries()


class WatchedConsumer(Consumer):  # type: ignore[misc]  # Celery carries no types
    """Both of Celery's loops make their handler of messages here, and come through `on_ready` each time they subscribe."""

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], Any]:
        handle: Callable[[Any], Any] = super().create_task_handler(*args, **kwargs)

        def count_and_handle(message: Any) -> Any:
            deliveries.note_delivery()
            return handle(message)

        return count_and_handle

    def on_ready(self) -> None:
        super().on_ready()
        deliveries.note_consuming()

    def on_close(self) -> None:
        deliveries.note_lost_connection()
        super().on_close()
