"""How this room reaches Redis: by connections that live on an event loop, where no thread waits for them."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

import redis
from django.conf import settings
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

_CONNECT_S = 1.0
_PATIENCE_S = 2.0  # beyond what a command may wait in Redis
BROKEN = (redis.RedisError, OSError)  # what a broker that is away raises

Part = bytes | str | int | float
Then = Callable[
    [Any], None
]  # is called with Redis's answer, or with the error in its place, and raises nothing


def key(name: str) -> str:
    """A Redis key of ours: beside Celery's, behind the same prefix."""
    return f"{settings.REDIS_KEY_PREFIX}{name}"


class LoopConnection(asyncio.Protocol):
    """Commands and their answers, in order. What was sent in one turn of the loop leaves in one write."""

    def __init__(self, opened: AbstractConnection, blocks_s: float) -> None:
        """`blocks_s`: so long its commands may wait in Redis."""
        self._loop = asyncio.get_running_loop()
        self._opened = opened
        # redis-py has connected and signed in; reading by itself would cost ten times as much
        self._transport = cast("asyncio.StreamWriter", opened._writer).transport
        self._transport.set_protocol(self)
        self._patience_s = blocks_s + _PATIENCE_S
        self._to_write: list[bytes] = []
        self._asked: deque[tuple[Then, float]] = deque()  # and when
        self._bytes = bytearray()  # of answers that are not complete
        self._moved_at, self._unsent = 0.0, 0
        self._timer: asyncio.TimerHandle | None = None
        self._error: Exception | None = None
        self.on_break: Callable[[], None] = lambda: None

    def send(self, *command: Part, then: Then) -> None:
        """Send a command; where the connection is broken, or breaks before the answer, `then` gets the error, later."""
        if self._error is not None:
            self._loop.call_soon(then, self._error)
            return
        now = self._loop.time()
        self._asked.append((then, now))
        if self._timer is None:
            self._timer = self._loop.call_later(self._patience_s, self._look)
        if not self._to_write:
            self._loop.call_soon(self._write)
        self._to_write += _written(command)

    async def ask(self, *commands: tuple[Part, ...]) -> list[Any]:
        """Send commands together and wait for what Redis answers; raise one of BROKEN, also for the first that it refuses."""
        answers: list[Any] = []
        is_answered = self._loop.create_future()
        for command in commands:
            self.send(*command, then=partial(_collect, answers, len(commands), is_answered))
        await is_answered
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    async def take(self, end: str, key: str, *, most: int, wait_s: float) -> list[bytes]:
        """Wait for an entry at the `L`eft or `R`ight end of a list, and take what else is there, `most` in all."""
        commands: list[tuple[Part, ...]] = [(f"B{end}POP", key, wait_s)]
        if most > 1:
            commands.append((f"{end}POP", key, most - 1))
        first, *others = await self.ask(*commands)
        return [*([first[1]] if first else []), *(others[0] or [] if others else [])]

    def end(self, error: Exception) -> None:
        """Whoever waits gets the error."""
        if self._error is not None:
            return
        self._error = error
        if self._timer is not None:
            self._timer.cancel()
        self._transport.abort()
        while self._asked:
            self._asked.popleft()[0](error)
        self.on_break()

    async def close(self) -> None:
        self.end(redis.ConnectionError("This process has closed the connection to Redis."))
        await self._opened.disconnect(nowait=True)

    def _write(self) -> None:
        to_write, self._to_write = self._to_write, []
        if self._error is None:
            self._transport.writelines(to_write)

    # What the transport calls.

    def data_received(self, data: bytes) -> None:
        self._moved_at = self._loop.time()
        self._bytes += data
        at = 0
        try:
            while self._asked and at < len(self._bytes):
                answer, at = _read(self._bytes, at)
                self._asked.popleft()[0](answer)
        except _Incomplete:
            pass
        except ValueError as odd:
            self.end(redis.InvalidResponse(f"Redis's answer makes no sense: {odd}"))
        del self._bytes[:at]
        if self._bytes and not self._asked:
            self.end(redis.InvalidResponse("Redis sent a reply that no command was waiting for."))

    def connection_lost(self, error: Exception | None) -> None:
        self.end(error or redis.ConnectionError("Redis has closed the connection."))

    def _look(self) -> None:
        """End the connection where nothing moves; a large answer, or a large command, may take its time."""
        self._timer = None
        if not self._asked:
            return
        now, unsent = self._loop.time(), self._transport.get_write_buffer_size()
        if unsent != self._unsent:
            self._unsent, self._moved_at = unsent, now
        left_s = max(self._moved_at, self._asked[0][1]) + self._patience_s - now
        if left_s <= 0:
            self.end(redis.TimeoutError("Redis does not answer."))
        else:
            self._timer = self._loop.call_later(left_s, self._look)


@asynccontextmanager
async def connections(url: str, *, blocks_s: float) -> AsyncIterator[tuple[LoopConnection, LoopConnection]]:
    """One to send over and one whose commands may wait in Redis for so long; when one of them breaks, both do."""
    async with connection(url) as sending, connection(url, blocks_s=blocks_s) as waiting:
        broken = redis.ConnectionError("The other connection to Redis has broken.")
        sending.on_break, waiting.on_break = partial(waiting.end, broken), partial(sending.end, broken)
        yield sending, waiting


@asynccontextmanager
async def connection(url: str, *, blocks_s: float = 0.0) -> AsyncIterator[LoopConnection]:
    """Raises one of BROKEN where there is none to be had."""
    opened: AbstractConnection = ConnectionPool.from_url(
        url,
        protocol=2,
        socket_connect_timeout=_CONNECT_S,
        socket_timeout=_PATIENCE_S,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),  # those who wait have a deadline, so it fails at once
    ).make_connection()  # type: ignore[no-untyped-call]
    await opened.connect()  # type: ignore[no-untyped-call]
    made = LoopConnection(opened, blocks_s)
    try:
        yield made
    finally:
        await made.close()


class _Incomplete(Exception):
    """The rest of an answer has not come yet."""


def _written(command: tuple[Part, ...]) -> list[bytes]:
    pieces = [b"*%d\r\n" % len(command)]
    for part in command:
        value = part if isinstance(part, bytes) else str(part).encode()
        pieces += (b"$%d\r\n" % len(value), value, b"\r\n")
    return pieces


def _read(found: bytearray, at: int) -> tuple[Any, int]:
    """An answer in Redis's second protocol and where it ends; ValueError where it is none."""
    end = found.find(b"\r\n", at)
    if end < 0:
        raise _Incomplete
    kind, line, at = found[at : at + 1], found[at + 1 : end], end + 2
    if kind == b"+":
        return bytes(line), at
    if kind == b"-":
        return redis.ResponseError(line.decode(errors="replace")), at
    count = int(line)
    if kind == b":":
        return count, at
    if kind == b"$":
        return (None, at) if count < 0 else _read_bytes(found, at, at + count)
    if kind != b"*":
        raise ValueError(f"it begins with {kind!r}")
    items = []
    for _ in range(count):
        item, at = _read(found, at)
        items.append(item)
    return (None if count < 0 else items), at


def _read_bytes(found: bytearray, at: int, end: int) -> tuple[bytes, int]:
    if len(found) < end + 2:
        raise _Incomplete
    with memoryview(found) as view, view[at:end] as value:
        return bytes(value), end + 2


def _collect(answers: list[Any], wanted: int, is_answered: "asyncio.Future[None]", answer: Any) -> None:
    answers.append(answer)
    if len(answers) == wanted and not is_answered.done():
        is_answered.set_result(None)
