"""Where this door is, and how a task of the sender's own Celery is called.

It is not where Roundhouse's own messages are. On Redis those have keys with a prefix, and this door's have none: an
application that is let in here needs no right to the others, and nothing that we send for it can reach them.
"""

import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from celery import Celery
from django.conf import settings
from kombu import Connection, Producer

from inference.jobs.celery_door.boxes import Box, FolderBox, RedisBox
from inference.jobs.celery_door.messages import raw_limit

_CONNECT_S = 3.0
_sending = threading.Lock()
_producers: dict[str, Producer] = {}


def folder() -> Path:
    return Path(settings.DATA_DIR) / "celery"


def box(queue: str, *, max_body_bytes: int) -> Box:
    if settings.REDIS_URL:
        return RedisBox(settings.REDIS_URL, queue)
    return FolderBox(folder(), queue, max_bytes=raw_limit(max_body_bytes))


def call(task: str, queue: str, told: Mapping[str, Any], *, task_id: UUID) -> None:
    """Send a task to somebody else's queue, without a follow-up and without a result. Raises what the broker raises."""
    message = _writer().amqp.as_task_v2(
        str(task_id), task, args=(dict(told),), ignore_result=True, argsrepr="(…)", kwargsrepr="{}"
    )
    with _sending:
        where = settings.REDIS_URL or str(folder())
        try:
            producer = _producers.get(where) or _producers.setdefault(where, _connect())
            producer.publish(
                message.body,
                exchange="",  # straight into the queue; nothing is declared that a stranger has named
                routing_key=queue,
                serializer="json",
                headers=message.headers,
                **message.properties,
                retry=False,
            )
        except BaseException:
            broken = _producers.pop(where, None)
            if broken is not None:
                broken.channel.connection.client.release()
            raise


def _connect() -> Producer:
    if settings.REDIS_URL:
        options: dict[str, Any] = {"socket_connect_timeout": _CONNECT_S, "socket_timeout": _CONNECT_S}
        return Producer(Connection(settings.REDIS_URL, transport_options=options).channel())
    messages, control = folder() / "messages", folder() / "control"
    for made in (messages, control):
        made.mkdir(parents=True, exist_ok=True)
    options = {
        "data_folder_in": str(messages),
        "data_folder_out": str(messages),
        "control_folder": str(control),
    }
    return Producer(Connection("filesystem://localhost/", transport_options=options).channel())


@cache
def _writer() -> Celery:
    """Only writes messages: it has no broker, and is nobody's current app."""
    return Celery("roundhouse-door", set_as_current=False)
