"""Threads that read a queue. What is in a message ends none of them, and neither does a broker or database that is away."""

import time
from collections.abc import Callable
from contextlib import closing

import redis
import structlog
from django.db import DatabaseError, close_old_connections, connection

from inference.jobs.celery_door.boxes import Box, Taken
from inference.jobs.celery_door.receiving import TryLater
from registry.kit.loops import Backoff, Loop, ThreadGroup, note_success

log = structlog.get_logger("roundhouse.celery_door")

_WAIT_S = 1.0
_RECOVER_EVERY_S = 30.0
_PAUSES_S = (0.5, 1, 2, 5, 10)  # while a message waits for the database
_BACKOFF = Backoff(first_s=0.5, longest_s=10.0)
_TRIES = 5  # of a message that fails although the database answers


class Reader:
    def __init__(
        self, name: str, make_box: Callable[[], Box], receive: Callable[[bytes], None], *, threads: int
    ) -> None:
        self._make_box, self._receive = make_box, receive
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

    def start(self) -> "Reader":
        self._threads.start()
        return self

    def stop(self, within_s: float) -> None:
        """Take nothing more; finish what is taken, or leave it to another."""
        self._threads.stop(within_s)

    def _read(self) -> None:
        """Until the connection breaks, or the worker stops."""
        with closing(self._make_box()) as box:
            self._read_from(box)

    def _read_from(self, box: Box) -> None:
        recovered_at = time.monotonic()
        while not self._stop.is_set():
            taken = box.take(_WAIT_S)
            if taken is not None:
                self._deal_with(box, taken)
            note_success()
            if time.monotonic() - recovered_at >= _RECOVER_EVERY_S:
                recovered_at = time.monotonic()
                if count := box.recover():
                    log.warning("messages of a reader that is gone were put back", messages=count)

    def _deal_with(self, box: Box, taken: Taken) -> None:
        tries = 0
        while True:
            close_old_connections()
            try:
                self._receive(taken.raw)
            except TryLater as error:
                tries += _database_answers()
                log.warning("a message waits for the database", reason=str(error))
                if tries < _TRIES:
                    if self._stop.wait(_PAUSES_S[min(tries, len(_PAUSES_S) - 1)]):
                        box.put_back(taken)
                        return
                    continue
                log.error("a message was given up: the database answers, and does not take it")
            except Exception as error:
                log.error("a message was given up in an error of ours", exc_info=error)
            box.done(taken)
            return


def _database_answers() -> bool:
    try:
        close_old_connections()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True
