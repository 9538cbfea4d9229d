"""Wraps Celery's worker: it is warm before it accepts work, watched while it works, and stopped in order."""

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import structlog
from celery.worker import state
from celery.worker.consumer import Consumer
from django.conf import settings

from inference.doors.celery import readers
from inference.jobs.running import runner as jobs
from inference.scratch import sweep_scratch_folders
from inference.serving import online_batches, queues, runtime
from inference.serving.worker_process import STOP_HOOKS, WATCHES, QueueProgress, Shutdown, WorkerWatchdog
from moderation.deciding import process as deciding
from moderation.review import process as reviews
from roundhouse.command_lines import worker_queues
from roundhouse.process import freeze_heap

log = structlog.get_logger("roundhouse.worker")

# Celery pauses up to 30 s between two attempts to connect, even if the broker has answered others in the meantime.
RECONNECTS_WITHIN_S = 60.0
_LAST_DRAIN_S = 1.0


class Deliveries:
    """Whether Celery's consumer still takes waiting messages. It does not have to while every thread is busy.

    Celery's signal `task_received` is not enough: it is not sent for an expired message, and a backlog of those would look
    like a consumer that takes nothing.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._moved = 0
        self._has_consumed = self._is_consuming = False
        self._reachable_since: float | None = (
            None  # when the broker was seen again while the consumer had no connection
        )

    def note_consuming(self) -> None:
        """The consumer has subscribed to its queues, for the first time or again. From now on it can be late."""
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


class WatchedConsumer(Consumer):  # type: ignore[misc]  # Celery has no type hints
    """Counts deliveries. Both of Celery's loops create their message handler here, and call `on_ready` when they subscribe."""

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


_watchdog = WorkerWatchdog(settings.WATCHDOG_S)
_shutdown: Shutdown | None = None
_has_ended = threading.Event()


def start() -> None:
    """Load this worker's versions, then take work."""
    sweep_scratch_folders()  # a chore does this too, but on one host only
    runtime.start_in_worker()
    deciding.start()
    reviews.start()
    STOP_HOOKS.add("batches", online_batches.stop)
    online_batches.start()
    jobs.start()
    readers.start_submissions()
    readers.start_predictions()
    WATCHES.add("queues", deliveries.seen)
    _watchdog.start()
    freeze_heap()


def begin_stop() -> None:
    """Take no new work from now on. Called in a signal handler, so all of it happens in threads."""
    global _shutdown
    if _shutdown is None:
        _watchdog.stop()
        _shutdown = Shutdown()
        threading.Thread(target=_exit_in_time, args=(_shutdown,), name="end-in-time", daemon=True).start()


def stop() -> None:
    """Celery's threads have ended: wait for the others, then end."""
    if _shutdown is not None:
        _shutdown.wait()
    reviews.stop()
    deciding.stop()
    runtime.stop()
    _has_ended.set()


def _exit_in_time(shutdown: Shutdown) -> None:
    """Exit even if a task is still running. Its row records what has to be done again, so nothing is lost."""
    shutdown.wait()
    if not _has_ended.wait(shutdown.left_s):
        log.warning("the worker ends although a task still runs", running=len(state.active_requests))
        runtime.stop(within_s=_LAST_DRAIN_S)
        os._exit(0)
