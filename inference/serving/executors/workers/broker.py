"""How this room reaches Redis: for Celery's messages through kombu, for data and replies directly."""

import socket
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from django.conf import settings
from kombu import Connection, Producer
from kombu.transport import redis as kombu_redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from inference.serving.executors.workers.messages import RUN_BATCH, Ask, queue_of

_CONNECT_S = 1.0
_PATIENCE_S = 2.0
BROKEN = (redis.RedisError, OSError)  # what a broker that is away raises, below kombu and in it
_ORIGIN = socket.gethostname()
# The third part of a Celery message's body: what happens to its result. Nothing: it has none.
_NO_FOLLOW_UP = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def key(name: str) -> str:
    """A Redis key of ours: beside Celery's, behind the same prefix."""
    return f"{settings.REDIS_KEY_PREFIX}{name}"


def redis_client(url: str, *, patience_s: float = _PATIENCE_S) -> "redis.Redis":
    """A client that fails at once instead of trying again by itself: those who wait have a deadline."""
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=_CONNECT_S,
        socket_timeout=patience_s,
        retry=Retry(NoBackoff(), 0),
    )


def broker_connection(url: str, **more: Any) -> Connection:
    return Connection(
        url,
        **more,
        transport_options={
            "global_keyprefix": settings.REDIS_KEY_PREFIX,
            "socket_connect_timeout": _CONNECT_S,
            "socket_timeout": _PATIENCE_S,
        },
    )


class _Channel(kombu_redis.Channel):  # type: ignore[misc]  # kombu carries no types
    """Sends over the client it has, where the original builds one for every message, at the price of the message."""

    @contextmanager
    def conn_or_acquire(self, client: "redis.Redis | None" = None) -> Iterator["redis.Redis"]:
        yield client or self.client


class _SendingTransport(kombu_redis.Transport):  # type: ignore[misc]
    Channel = _Channel


class Publisher:
    """Sends batches as Celery messages; any number of threads may call it at once."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = redis_client(url)
        self._idle: deque[Producer] = deque()  # the last one used is the next one taken

    def publish(self, ask: Ask, pool: str) -> None:
        """Send one message; raises one of BROKEN."""
        try:
            producer = self._idle.pop()
        except IndexError:
            producer = Producer(broker_connection(self._url, transport=_SendingTransport).channel())
        try:
            producer.publish(
                ((), ask.to_kwargs(), _NO_FOLLOW_UP),
                exchange="",
                routing_key=queue_of(pool),
                serializer="json",
                headers=_headers(str(ask.batch)),
                correlation_id=str(ask.batch),
                retry=False,
            )
        except BaseException:
            producer.channel.connection.client.release()
            raise
        self._idle.append(producer)

    def keep(self, data_key: str, packed: bytes, for_s: float) -> None:
        """Put tensors beside the message that will name them; they go by themselves. Raises one of BROKEN."""
        self._client.set(data_key, packed, px=max(1, int(for_s * 1000)))

    def close(self) -> None:
        while self._idle:
            self._idle.pop().channel.connection.client.release()
        self._client.close()


def _headers(task_id: str) -> dict[str, Any]:
    """Celery's second message protocol. No `expires`: it would be measured by the worker's own clock."""
    return {
        "lang": "py",
        "task": RUN_BATCH,
        "id": task_id,
        "root_id": task_id,
        "parent_id": None,
        "group": None,
        "shadow": None,
        "eta": None,
        "expires": None,
        "retries": 0,
        "timelimit": (None, None),
        "argsrepr": "()",
        "kwargsrepr": "{}",
        "origin": _ORIGIN,
        "ignore_result": True,
    }
