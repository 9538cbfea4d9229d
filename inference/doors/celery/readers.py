"""A worker's threads that read the door's queues. They survive any message, broker failure or database failure."""

import time
from collections.abc import Callable
from contextlib import closing
from functools import partial

import redis
import structlog
from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection

from inference.doors.celery import predictions, queues, submissions
from inference.doors.celery.queues import MessageQueue, TakenMessage
from inference.doors.limits.admission import admission
from inference.serving.worker_process import STOP_HOOKS
from registry.kit.loops import DATABASE_AWAY, Backoff, Loop, ThreadGroup, note_success

log = structlog.get_logger("roundhouse.celery_door")

_SUBMISSION_THREADS = 2
_WAIT_S = 1.0
_RECOVER_EVERY_S = 30.0
_PAUSES_S = (0.5, 1, 2, 5, 10)  # while a message waits for the database
_BACKOFF = Backoff(first_s=0.5, longest_s=10.0)
_TRIES = 5  # for a message that fails while the database is reachable


class QueueReader:
    def __init__(
        self,
        name: str,
        open_queue: Callable[[], MessageQueue],
        receive: Callable[[bytes], None],
        *,
        threads: int,
    ) -> None:
        self._open_queue, self._receive = open_queue, receive
        self._threads = ThreadGroup(
            name,
            Loop(
                name,
                self._read,
                meanwhile="messages stay in the queue",
                backoff=_BACKOFF,
                expected=(redis.RedisError, OSError, DatabaseError),
            ),
            threads=threads,
        )
        self._stop = self._threads.stopping

    def start(self) -> "QueueReader":
        self._threads.start()
        return self

    def stop(self, within_s: float) -> None:
        """Take no more messages; finish the current ones, or leave them to another reader."""
        self._threads.stop(within_s)

    def _read(self) -> None:
        """Read until the connection breaks or the worker stops."""
        with closing(self._open_queue()) as queue:
            self._read_from(queue)

    def _read_from(self, queue: MessageQueue) -> None:
        recovered_at = time.monotonic()
        while not self._stop.is_set():
            taken = queue.take(_WAIT_S)
            if taken is not None:
                self._process(queue, taken)
            note_success()
            if time.monotonic() - recovered_at >= _RECOVER_EVERY_S:
                recovered_at = time.monotonic()
                if count := queue.recover():
                    log.warning("messages of a reader that is gone were put back", messages=count)

    def _process(self, queue: MessageQueue, taken: TakenMessage) -> None:
        tries = 0
        while True:
            close_old_connections()
            try:
                self._receive(taken.raw)
            except DATABASE_AWAY as error:
                tries += _database_answers()
                log.warning("a message waits for the database", reason=str(error))
                if tries < _TRIES:
                    if self._stop.wait(_PAUSES_S[min(tries, len(_PAUSES_S) - 1)]):
                        queue.put_back(taken)
                        return
                    continue
                log.error("a message was given up: the database answers, and does not take it")
            except Exception as error:
                log.error("a message was given up in an error of ours", exc_info=error)
            queue.done(taken)
            return


def _database_answers() -> bool:
    try:
        close_old_connections()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True


def start_submissions() -> None:
    """Start reading submitted jobs, until the worker stops."""
    open_queue = partial(queues.open_queue, submissions.SUBMIT, max_body_bytes=submissions.MAX_BODY_BYTES)
    reader = QueueReader("orders", open_queue, submissions.receive, threads=_SUBMISSION_THREADS)
    STOP_HOOKS.add("orders", reader.stop)
    reader.start()


def start_predictions() -> None:
    """Start reading predictions, if there is a Redis server to put the answers in."""
    if not settings.REDIS_URL:
        return
    admission.start()
    open_queue = partial(queues.open_queue, predictions.PREDICT, max_body_bytes=predictions.MAX_BYTES)
    reader = QueueReader("questions", open_queue, predictions.receive, threads=settings.WORKER_THREADS)

    def stop(within_s: float) -> None:
        reader.stop(within_s)
        admission.stop()

    STOP_HOOKS.add("questions", stop)
    reader.start()
