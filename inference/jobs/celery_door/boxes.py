"""Where messages lie until they are read: a list in Redis, or files in a folder, as Celery's senders put them there.

What is taken stays in a second place until it is done, so that a reader which is killed loses nothing: after GIVE_BACK_S
another takes it again. The same message may therefore be read twice.
"""

import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

GIVE_BACK_S = 120.0
_POLL_S = 0.1
_PATIENCE_S = 5.0
# Celery writes a message with a priority into a list of its own.
_PRIORITIES = tuple(f"\x06\x16{step}" for step in (3, 6, 9))


@dataclass(frozen=True, slots=True)
class Taken:
    raw: bytes
    place: str


class Box(Protocol):
    """One reader's view of a queue. Methods may raise OSError, or redis.RedisError."""

    def take(self, wait_s: float) -> Taken | None:
        """The oldest message, after waiting for one."""

    def done(self, taken: Taken) -> None:
        """The message has been dealt with."""

    def put_back(self, taken: Taken) -> None:
        """Let another reader have it."""

    def recover(self) -> int:
        """Put back what a reader took that is gone; return how much that was."""

    def close(self) -> None: ...


class RedisBox:
    def __init__(self, url: str, queue: str) -> None:
        self._queue, self._taken = queue, f"{queue}.taken"
        # Any: redis-py says `str` of what is bytes here, both ways.
        self._redis: Any = redis.Redis.from_url(
            url, socket_connect_timeout=_PATIENCE_S, socket_timeout=_PATIENCE_S, retry=Retry(NoBackoff(), 0)
        )
        self._seen_since: dict[str, float] = {}

    def take(self, wait_s: float) -> Taken | None:
        raw = self._redis.blmove(self._queue, self._taken, max(1, round(wait_s)), "RIGHT", "LEFT")
        for priority in _PRIORITIES:
            if raw is None:
                raw = self._redis.lmove(f"{self._queue}{priority}", self._taken, "RIGHT", "LEFT")
        return None if raw is None else Taken(raw, self._taken)

    def done(self, taken: Taken) -> None:
        self._redis.lrem(self._taken, 1, taken.raw)

    def put_back(self, taken: Taken) -> None:
        # In this order: a death in between leaves it twice, not lost.
        self._redis.rpush(self._queue, taken.raw)
        self._redis.lrem(self._taken, 1, taken.raw)

    def recover(self) -> int:
        now = time.monotonic()
        there = {hashlib.sha256(raw).hexdigest(): raw for raw in self._redis.lrange(self._taken, 0, -1)}
        self._seen_since = {name: self._seen_since.get(name, now) for name in there}
        lost = [raw for name, raw in there.items() if now - self._seen_since[name] >= GIVE_BACK_S]
        for raw in lost:
            self.put_back(Taken(raw, self._taken))
        return len(lost)

    def close(self) -> None:
        self._redis.close()


class FolderBox:
    """Files as kombu's filesystem transport names them: `<time>_<uuid>.<queue>.msg`."""

    def __init__(self, folder: Path, queue: str, *, max_bytes: int) -> None:
        self._folder, self._taken_folder = folder / "messages", folder / "taken"
        self._name_end, self._max_bytes = f"{queue}.msg", max_bytes
        for made in (self._folder, self._taken_folder):
            made.mkdir(parents=True, exist_ok=True)

    def take(self, wait_s: float) -> Taken | None:
        ends_at = time.monotonic() + wait_s
        while True:
            for name in self._names(self._folder):
                if (taken := self._take(name)) is not None:
                    return taken
            if time.monotonic() >= ends_at:
                return None
            time.sleep(_POLL_S)

    def done(self, taken: Taken) -> None:
        Path(taken.place).unlink(missing_ok=True)

    def put_back(self, taken: Taken) -> None:
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

    def _take(self, name: str) -> Taken | None:
        """Take a file that its sender has written to the end; None where it has not, or somebody was faster."""
        place = self._taken_folder / name
        try:
            # Whatever lies there: no link is followed, and a pipe does not hold us up.
            file = os.open(self._folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            state = os.fstat(file)
            if not stat.S_ISREG(state.st_mode) or not state.st_size:
                return None
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # a sender that writes holds it
            os.utime(file)
            os.rename(self._folder / name, place)
            # One byte more than may be: enough to see that it is too large.
            return Taken(_read(file, self._max_bytes + 1), str(place))
        except (BlockingIOError, FileNotFoundError, PermissionError):
            return None
        finally:
            os.close(file)


def _read(file: int, at_most: int) -> bytes:
    pieces = []
    while at_most and (piece := os.read(file, min(at_most, 2**20))):
        pieces.append(piece)
        at_most -= len(piece)
    return b"".join(pieces)
