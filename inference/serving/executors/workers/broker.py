"""Redis's clock, and connections to Redis that live on an event loop, so that no thread waits for them."""

import asyncio
import time
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
_TIMEOUT_S = 2.0  # on top of the time that a command may wait in Redis
BROKEN = (redis.RedisError, OSError)  # raised when Redis cannot be reached

Part = bytes | str | int | float
Then = Callable[[Any], None]  # called with Redis's answer or with an error; must not raise


def key(name: str) -> str:
    """One of our Redis keys, with the same prefix as Celery's."""
    return f"{settings.REDIS_KEY_PREFIX}{name}"


class LoopConnection(asyncio.Protocol):
    """Commands and their answers, in order. Commands from one turn of the loop are sent in one write."""

    def __init__(self, opened: AbstractConnection, blocks_s: float) -> None:
        """`blocks_s`: how long its commands may wait in Redis."""
        self._loop = asyncio.get_running_loop()
        self._opened = opened
        # redis-py has connected and authenticated; its own parser would cost ten times as much
        self._transport = cast("asyncio.StreamWriter", opened._writer).transport
        self._transport.set_protocol(self)
        self._timeout_s = blocks_s + _TIMEOUT_S
        self._to_write: list[bytes] = []
        self._pending: deque[tuple[Then, float]] = deque()  # each with the time it was sent
        self._bytes = bytearray()  # of incomplete answers
        self._moved_at, self._unsent = 0.0, 0
        self._timer: asyncio.TimerHandle | None = None
        self._error: Exception | None = None
        self.on_break: Callable[[], None] = lambda: None

    def send(self, *command: Part, then: Then) -> None:
        """Send a command. If the connection is broken or breaks before the answer, `then` gets the error later."""
        if self._error is not None:
            self._loop.call_soon(then, self._error)
            return
        now = self._loop.time()
        self._pending.append((then, now))
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout_s, self._check_stalled)
        if not self._to_write:
            self._loop.call_soon(self._write)
        self._to_write += _encode(command)

    async def ask(self, *commands: tuple[Part, ...]) -> list[Any]:
        """Send commands together and wait for all answers; raises one of BROKEN, including if Redis refuses a command."""
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
        """Wait for an entry at the `L`eft or `R`ight end of a list, and take up to `most` entries."""
        commands: list[tuple[Part, ...]] = [(f"B{end}POP", key, wait_s)]
        if most > 1:
            commands.append((f"{end}POP", key, most - 1))
        first, *others = await self.ask(*commands)
        return [*([first[1]] if first else []), *(others[0] or [] if others else [])]

    def end(self, error: Exception) -> None:
        """Close the connection; pending commands get the error."""
        if self._error is not None:
            return
        self._error = error
        if self._timer is not None:
            self._timer.cancel()
        self._transport.abort()
        while self._pending:
            self._pending.popleft()[0](error)
        self.on_break()

    async def close(self) -> None:
        self.end(redis.ConnectionError("This process has closed the connection to Redis."))
        await self._opened.disconnect(nowait=True)

    def _write(self) -> None:
        to_write, self._to_write = self._to_write, []
        if self._error is None:
            self._transport.writelines(to_write)

    # Called by the transport.

    def data_received(self, data: bytes) -> None:
        self._moved_at = self._loop.time()
        self._bytes += data
        at = 0
        try:
            while self._pending and at < len(self._bytes):
                answer, at = _read(self._bytes, at)
                self._pending.popleft()[0](answer)
        except _Incomplete:
            pass
        except ValueError as error:
            self.end(redis.InvalidResponse(f"Redis sent an invalid answer: {error}"))
        del self._bytes[:at]
        if self._bytes and not self._pending:
            self.end(redis.InvalidResponse("Redis sent a reply that no command was waiting for."))

    def connection_lost(self, error: Exception | None) -> None:
        self.end(error or redis.ConnectionError("Redis has closed the connection."))

    def _check_stalled(self) -> None:
        """End the connection when no bytes move; a large command or answer may take longer than the timeout."""
        self._timer = None
        if not self._pending:
            return
        now, unsent = self._loop.time(), self._transport.get_write_buffer_size()
        if unsent != self._unsent:
            self._unsent, self._moved_at = unsent, now
        left_s = max(self._moved_at, self._pending[0][1]) + self._timeout_s - now
        if left_s <= 0:
            self.end(redis.TimeoutError("Redis is not responding."))
        else:
            self._timer = self._loop.call_later(left_s, self._check_stalled)


@asynccontextmanager
async def connections(url: str, *, blocks_s: float) -> AsyncIterator[tuple[LoopConnection, LoopConnection]]:
    """One connection to send over, and one whose commands may wait in Redis; if one breaks, both are closed."""
    async with connection(url) as sending, connection(url, blocks_s=blocks_s) as waiting:
        broken = redis.ConnectionError("The other connection to Redis has broken.")
        sending.on_break, waiting.on_break = partial(waiting.end, broken), partial(sending.end, broken)
        yield sending, waiting


@asynccontextmanager
async def connection(url: str, *, blocks_s: float = 0.0) -> AsyncIterator[LoopConnection]:
    """Raises one of BROKEN if Redis cannot be reached."""
    opened: AbstractConnection = ConnectionPool.from_url(
        url,
        protocol=2,
        socket_connect_timeout=_CONNECT_S,
        socket_timeout=_TIMEOUT_S,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),  # callers have a deadline, so a failure must show immediately
    ).make_connection()  # type: ignore[no-untyped-call]
    await opened.connect()  # type: ignore[no-untyped-call]
    ready = LoopConnection(opened, blocks_s)
    try:
        yield ready
    finally:
        await ready.close()


class _Incomplete(Exception):
    """The rest of the answer has not arrived yet."""


def _encode(command: tuple[Part, ...]) -> list[bytes]:
    pieces = [b"*%d\r\n" % len(command)]
    for part in command:
        value = part if isinstance(part, bytes) else str(part).encode()
        pieces += (b"$%d\r\n" % len(value), value, b"\r\n")
    return pieces


def _read(buffer: bytearray, at: int) -> tuple[Any, int]:
    """An answer in RESP2 and where it ends; ValueError if it is malformed."""
    end = buffer.find(b"\r\n", at)
    if end < 0:
        raise _Incomplete
    kind, line, at = buffer[at : at + 1], buffer[at + 1 : end], end + 2
    if kind == b"+":
        return bytes(line), at
    if kind == b"-":
        return redis.ResponseError(line.decode(errors="replace")), at
    count = int(line)
    if kind == b":":
        return count, at
    if kind == b"$":
        return (None, at) if count < 0 else _read_bytes(buffer, at, at + count)
    if kind != b"*":
        raise ValueError(f"it begins with {kind!r}")
    items = []
    for _ in range(count):
        item, at = _read(buffer, at)
        items.append(item)
    return (None if count < 0 else items), at


def _read_bytes(buffer: bytearray, at: int, end: int) -> tuple[bytes, int]:
    if len(buffer) < end + 2:
        raise _Incomplete
    with memoryview(buffer) as view, view[at:end] as value:
        return bytes(value), end + 2


def _collect(answers: list[Any], wanted: int, is_answered: "asyncio.Future[None]", answer: Any) -> None:
    answers.append(answer)
    if len(answers) == wanted and not is_answered.done():
        is_answered.set_result(None)


_SYNC_EVERY_S = 30.0


class RedisClock:
    """Redis's time, computed from this process's monotonic clock and the difference last measured.

    Deadlines are sent as times on this clock, so hosts agree on them to within a round trip to Redis, however their own
    clocks are set. After a reconnection the address may lead to another Redis, so each connection has its own clock.
    """

    def __init__(self) -> None:
        self._ahead_s = 0.0
        self._synced_at: float | None = None

    async def sync(self, connection: LoopConnection) -> None:
        """Read Redis's clock, unless that was done recently."""
        began = time.monotonic()
        if self._synced_at is None or began - self._synced_at >= _SYNC_EVERY_S:
            [(seconds, microseconds)] = await connection.ask(("TIME",))
            # Redis answered sometime between then and now; the middle is off by half a round trip at most
            self._ahead_s = int(seconds) + int(microseconds) / 1e6 - (began + time.monotonic()) / 2
            self._synced_at = began

    def at(self, monotonic: float) -> float:
        """Convert a monotonic time to Redis's time."""
        return monotonic + self._ahead_s

    def monotonic(self, at: float) -> float:
        """The inverse of `at`."""
        return at - self._ahead_s
