"""The worker's threads for online batches: each takes one message from the pool's queue when it is free.

They are not those of Celery's own pool, and their messages are not in its prefetch: what chores and jobs hold can
then never make somebody wait who is online. The messages are Celery's, so any Celery worker can run them as well.
"""

import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import structlog
from django.db import close_old_connections
from kombu import Connection, Consumer, Queue
from kombu.exceptions import KombuError
from kombu.message import Message

from inference.serving.executors.workers import broker
from inference.serving.executors.workers.answering import Answering
from inference.serving.executors.workers.messages import RUN_BATCH, queue_of
from registry.loops import Backoff, Loop, ThreadGroup, note_success

log = structlog.get_logger("roundhouse.lane")

_LOOK_AT_STOP_EVERY_S = 1
_BACKOFF = Backoff(first_s=0.5, longest_s=2.0)


class BatchConsumer:
    """Takes batches of one pool. A message is gone from Redis when a thread has it: a lost one is sent again."""

    def __init__(self, url: str, *, pool: str, threads: int) -> None:
        self._url, self.queue = url, queue_of(pool)
        self._answering = Answering(url)
        self._threads = ThreadGroup(
            "batches",
            Loop(
                "batches",
                self._take,
                meanwhile="this worker takes no batches",
                backoff=_BACKOFF,
                expected=(*broker.BROKEN, KombuError),
            ),
            threads=threads,
        )
        self._counting = threading.Lock()
        self.taken = 0

    def start(self) -> "BatchConsumer":
        self._threads.start()
        return self

    def stop(self, within_s: float) -> None:
        """Take nothing more, and finish what is under way."""
        self._threads.stop(within_s)

    def waiting(self) -> int:
        """How many messages are in the queue."""
        return self._answering.length_of(broker.key(self.queue))

    def _take(self) -> None:
        """Until the connection breaks, or the worker stops."""
        with broker.broker_connection(self._url) as connection, self._consumer(connection):
            while not self._threads.stopping.is_set():
                with suppress(TimeoutError):
                    connection.drain_events(timeout=_LOOK_AT_STOP_EVERY_S)
                note_success()

    def _consumer(self, connection: Connection) -> Consumer:
        return Consumer(
            connection.channel(),
            [Queue(self.queue)],
            no_ack=True,
            accept=["json"],
            callbacks=[self._on_message],
            on_decode_error=_drop,
        )

    def _on_message(self, body: Any, message: Message) -> None:
        """Nothing that is in a message ends the thread."""
        with self._counting:
            self.taken += 1
        try:
            if message.headers.get("task") != RUN_BATCH:
                log.error("message is no batch", task=str(message.headers.get("task"))[:100])
                return
            self._answering.answer(_kwargs(body))
        except broker.BROKEN as error:
            log.warning("a batch was lost with the connection; it will be sent again", reason=str(error))
        except Exception as error:
            log.error("a batch was lost in an error", exc_info=error)
        finally:
            close_old_connections()


def _drop(_message: Message, error: Exception) -> None:
    log.error("message cannot be read", reason=str(error))


def _kwargs(body: Any) -> Mapping[str, Any]:
    is_told = isinstance(body, (list, tuple)) and len(body) == 3 and isinstance(body[1], Mapping)
    return body[1] if is_told else {}
