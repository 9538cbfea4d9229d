"""The door's queues: lists in Redis, or files in a folder, as Celery clients write them; and calls to senders' tasks.

A message in progress is kept in a second place, so a killed reader loses nothing: after GIVE_BACK_S another
reader takes it again. So the same message may be read twice.

These queues are separate from Roundhouse's own. On Redis our own keys have a prefix and these have none, so an
application needs no access to our own queues, and nothing that we send here can reach those.
"""

import fcntl
import hashlib
import os
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import redis
from celery import Celery
from django.conf import settings
from kombu import Connection, Producer
from redis.backoff import NoBackoff
from redis.retry import Retry

from inference.doors.celery.messages import raw_limit

GIVE_BACK_S = 120.0
_POLL_S = 0.1
_REDIS_TIMEOUT_S = 5.0
_CONNECT_S = 3.0
# Celery has separate lists for messages with a priority.
_PRIORITIES = tuple(f"\x06\x16{step}" for step in (3, 6, 9))

_sending = threading.Lock()
_producers: dict[str, Producer] = {}


@dataclass(frozen=True, slots=True)
class TakenMessage:
    raw: bytes
    place: str


class MessageQueue(Protocol):
    """One reader's view of a queue. Methods may raise OSError, or redis.RedisError."""

    def take(self, wait_s: float) -> TakenMessage | None:
        """Wait for a message, and take the oldest."""

    def done(self, taken: TakenMessage) -> None:
        """Remove a processed message."""

    def put_back(self, taken: TakenMessage) -> None:
        """Put a message back for another reader."""

    def recover(self) -> int:
        """Put back the messages of readers that died; return how many."""

    def close(self) -> None: ...


class RedisQueue:
    def __init__(self, url: str, queue: str) -> None:
        self._queue, self._taken = queue, f"{queue}.taken"
        # Any: redis-py types these as `str`, but they are bytes, both in and out.
        self._redis: Any = redis.Redis.from_url(
            url,
            socket_connect_timeout=_REDIS_TIMEOUT_S,
            socket_timeout=_REDIS_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._seen_since: dict[str, float] = {}

    def take(self, wait_s: float) -> TakenMessage | None:
        raw = self._redis.blmove(self._queue, self._taken, max(1, round(wait_s)), "RIGHT", "LEFT")
        for priority in _PRIORITIES:
            if raw is None:
                raw = self._redis.lmove(f"{self._queue}{priority}", self._taken, "RIGHT", "LEFT")
        return None if raw is None else TakenMessage(raw, self._taken)

    def done(self, taken: TakenMessage) -> None:
        self._redis.lrem(self._taken, 1, taken.raw)

    def put_back(self, taken: TakenMessage) -> None:
        # In this order: dying in between duplicates the message instead of losing it.
        self._redis.rpush(self._queue, taken.raw)
        self._redis.lrem(self._taken, 1, taken.raw)

    def recover(self) -> int:
        now = time.monotonic()
        taken = {hashlib.sha256(raw).hexdigest(): raw for raw in self._redis.lrange(self._taken, 0, -1)}
        self._seen_since = {name: self._seen_since.get(name, now) for name in taken}
        lost = [raw for name, raw in taken.items() if now - self._seen_since[name] >= GIVE_BACK_S]
        for raw in lost:
            self.put_back(TakenMessage(raw, self._taken))
        return len(lost)

    def close(self) -> None:
        self._redis.close()


class FolderQueue:
    """Files as kombu's filesystem transport names them: `<time>_<uuid>.<queue>.msg`."""

    def __init__(self, folder: Path, queue: str, *, max_bytes: int) -> None:
        self._folder, self._taken_folder = folder / "messages", folder / "taken"
        self._name_end, self._max_bytes = f"{queue}.msg", max_bytes
        for created in (self._folder, self._taken_folder):
            created.mkdir(parents=True, exist_ok=True)

    def take(self, wait_s: float) -> TakenMessage | None:
        ends_at = time.monotonic() + wait_s
        while True:
            for name in self._names(self._folder):
                if (taken := self._take(name)) is not None:
                    return taken
            if time.monotonic() >= ends_at:
                return None
            time.sleep(_POLL_S)

    def done(self, taken: TakenMessage) -> None:
        Path(taken.place).unlink(missing_ok=True)

    def put_back(self, taken: TakenMessage) -> None:
        place = Path(taken.place)
        with suppress(FileNotFoundError):
            place.rename(self._folder / place.name)

    def recover(self) -> int:
        lost = 0
        for name in self._names(self._taken_folder):
            with suppress(FileNotFoundError):
                if time.time() - (self._taken_folder / name).stat().st_mtime >= GIVE_BACK_S:
                    (self._taken_folder / name).rename(self._folder / name)
                    lost += 1
        return lost

    def close(self) -> None:
        pass

    def _names(self, folder: Path) -> Iterator[str]:
        return (name for name in sorted(os.listdir(folder)) if name.partition(".")[2] == self._name_end)

    def _take(self, name: str) -> TakenMessage | None:
        """Take a completely written file; None if it is still being written, or another reader got it first."""
        place = self._taken_folder / name
        try:
            # Anyone may put anything there: follow no links, and do not block on pipes.
            file = os.open(self._folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            state = os.fstat(file)
            if not stat.S_ISREG(state.st_mode) or not state.st_size:
                return None
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # a sender locks it while writing
            os.utime(file)
            os.rename(self._folder / name, place)
            # One byte above the limit, enough to see that it is too large.
            return TakenMessage(_read_up_to(file, self._max_bytes + 1), str(place))
        except (BlockingIOError, FileNotFoundError, PermissionError):
            return None
        finally:
            os.close(file)


def _read_up_to(file: int, at_most: int) -> bytes:
    pieces = []
    while at_most and (piece := os.read(file, min(at_most, 2**20))):
        pieces.append(piece)
        at_most -= len(piece)
    return b"".join(pieces)


def messages_folder() -> Path:
    return Path(settings.DATA_DIR) / "celery"


def open_queue(queue: str, *, max_body_bytes: int) -> MessageQueue:
    if settings.REDIS_URL:
        return RedisQueue(settings.REDIS_URL, queue)
    return FolderQueue(messages_folder(), queue, max_bytes=raw_limit(max_body_bytes))


def call_task(task: str, queue: str, argument: Mapping[str, Any], *, task_id: UUID) -> None:
    """Send a task to a sender's queue, with no follow-ups and no result. Raises the broker's errors."""
    message = _writer().amqp.as_task_v2(
        str(task_id), task, args=(dict(argument),), ignore_result=True, argsrepr="(…)", kwargsrepr="{}"
    )
    with _sending:
        broker = settings.REDIS_URL or str(messages_folder())
        try:
            producer = _producers.get(broker) or _producers.setdefault(broker, _connect())
            producer.publish(
                message.body,
                exchange="",  # directly to the queue; never declare a queue that a sender has named
                routing_key=queue,
                serializer="json",
                headers=message.headers,
                **message.properties,
                retry=False,
            )
        except BaseException:
            broken = _producers.pop(broker, None)
            if broken is not None:
                broken.channel.connection.client.release()
            raise


def _connect() -> Producer:
    if settings.REDIS_URL:
        options: dict[str, Any] = {"socket_connect_timeout": _CONNECT_S, "socket_timeout": _CONNECT_S}
        return Producer(Connection(settings.REDIS_URL, transport_options=options).channel())
    messages, control = messages_folder() / "messages", messages_folder() / "control"
    for created in (messages, control):
        created.mkdir(parents=True, exist_ok=True)
    options = {
        "data_folder_in": str(messages),
        "data_folder_out": str(messages),
        "control_folder": str(control),
    }
    return Producer(Connection("filesystem://localhost/", transport_options=options).channel())


@cache
def _writer() -> Celery:
    """Only for writing messages: it has no broker, and never becomes the current app."""
    return Celery("roundhouse-door", set_as_current=False)
