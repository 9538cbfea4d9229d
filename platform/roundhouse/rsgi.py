"""Requests and responses of the web server: headers, bodies within limits of size, time and memory, and sending."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from inference.doors.memory import MemoryHolding, memory, no_room
from inference.doors.wire import connection_lost, cut_short
from inference.engine.errors import Overloaded
from inference.engine.requests import Cancellation
from inference.errors import BadBody, BodyTooSlow

SMALL_BYTES = 256 << 10  # received and sent in one piece
# Of a response. The server would hold a larger one in memory for a client that does not read, so it is sent from a file.
MAX_PIECE_BYTES = 1 << 20
REFUSED_BYTES = 64 << 10  # of a refused body, this much is read so that the connection can stay open

FIRST_S = 10.0  # a body may take this long, plus its length divided by the minimum rate
LEAST_BYTES_PER_S = 32 << 10
HURRIED_BYTES_PER_S = 1 << 20  # the minimum rate while other requests wait for the memory that a body holds
_ROOM_S = 5.0  # how long a received body waits for the memory to parse it
_SLOW_UNDER_CONTENTION = (
    "Other requests are waiting for the memory that this body holds, and it arrives slower than 1 MiB/s."
)
_CHECK_EVERY_S = 0.02
_CHECK_CALLER_AFTER_S = 0.1  # a slower request is cancelled if its caller has disconnected

HeaderList = list[tuple[str, str]]


class Scope(Protocol):
    proto: str
    http_version: str
    server: str
    client: str
    scheme: str
    method: str
    path: str
    query_string: str

    @property
    def headers(self) -> Any: ...


class FilePart(NamedTuple):
    """A response body: part of a file."""

    path: Path
    part: range


class WebResponse(NamedTuple):
    status: int
    headers: HeaderList
    body: bytes | FilePart


@lru_cache(maxsize=1024)
def _wsgi_name(header: str) -> str:
    name = header.upper().replace("-", "_")
    return name if name in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{name}"


class Headers(dict[str, str]):
    """A request's headers under their WSGI names. A value that is not ASCII becomes empty; repeated headers are joined.

    Names with underscores are dropped: WSGI's names would confuse them with others.
    """

    def __init__(self, lines: Any) -> None:
        for header, value in lines.items():
            if "_" not in header:
                name = _wsgi_name(header)
                before = self.get(name)
                if before is not None:
                    value = f"{before}; {value}" if header == "cookie" else f"{before},{value}"
                self[name] = value
        headers = lines.keys()
        if len(headers) != len(self):
            for header in headers:
                if "_" not in header:
                    self.setdefault(_wsgi_name(header), "")


class Visit(Cancellation):
    """One request while it is in this process: what it waits for, and whether its caller is still connected."""

    def __init__(self, visits: "Visits", scope: Scope, proto: Any) -> None:
        super().__init__()
        self._visits = visits
        self.scope, self.proto = scope, proto
        self.headers = Headers(scope.headers)
        self.since = visits.loop.time()
        self.due_at = 0.0  # deadline for the body; 0: no body is awaited
        self.holding = MemoryHolding(memory)
        self.waits_for_room = False
        self.task: asyncio.Task[Any] | None = None
        self.may_be_withdrawn = False  # while its response is being computed, a disconnect cancels it
        self._yields_at = 0.0  # when a large body gives way to requests that wait for memory; 0: never
        self._is_begun = self._is_read = self._is_late = self._must_yield = False
        self._watch: asyncio.Task[None] | None = None

    async def receive(self, length: int) -> bytes:
        """Return exactly `length` bytes of the body, or raise BadBody, BodyTooSlow or Overloaded."""
        if length > SMALL_BYTES:
            return b"".join([part async for part in self.parts(length, held=length)])
        self._is_begun = True
        if not length:
            self._is_read = True
            return b""
        self._await_body(FIRST_S + length / LEAST_BYTES_PER_S)
        try:
            await self._find_room(partial(self.holding.take, length))
            body: bytes = await self.proto()
        except asyncio.CancelledError:
            self._check_late()
            raise
        except RuntimeError:  # granian raises this when the connection is lost
            raise connection_lost() from None
        finally:
            self.due_at = 0.0
        if len(body) != length:
            raise cut_short(length - len(body))
        self._is_read = True
        return body

    async def parts(self, length: int, *, held: int) -> AsyncIterator[bytes]:
        """Like `receive`, part by part, with at most `held` bytes in memory. Reading starts only when there is room for them:
        half-read bodies might otherwise wait for each other."""
        missing = length
        self._await_body(FIRST_S)
        try:
            await self._find_room(partial(self.holding.take_for_body, held))
            self._is_begun = True
            started = self._visits.loop.time()
            self.due_at = started + FIRST_S
            self._yields_at = self.due_at + length / HURRIED_BYTES_PER_S
            async for part in self.proto:
                if not part and missing:
                    break
                missing -= len(part)
                if part:
                    yield part
                taken_s = (length - missing) / LEAST_BYTES_PER_S
                self.due_at = started + FIRST_S + taken_s
        except asyncio.CancelledError:
            self._check_late()
            raise
        except RuntimeError:
            raise connection_lost() from None
        finally:
            self.due_at = self._yields_at = 0.0
        if missing:
            raise cut_short(missing)
        self._is_read = True

    async def hold(self, nbytes: int) -> None:
        """Wait until `nbytes` more may be held. Raise Overloaded if that takes too long."""
        if self.holding.take(nbytes):
            return
        self._await_body(_ROOM_S)
        try:
            await self._find_room(partial(self.holding.take, nbytes))
        except asyncio.CancelledError:
            self._check_late()
            raise
        finally:
            self.due_at = 0.0

    async def _find_room(self, take: Callable[[], bool]) -> None:
        """Wait until `take` succeeds. Meanwhile nothing is read from the connection."""
        while not take():
            self.waits_for_room = True
            await self._visits.wait_for_room()
        self.waits_for_room = False

    async def drain(self) -> bool:
        """Read a refused body to its end if it is small. Return False if the connection must be closed instead."""
        if self._is_read:
            return True
        length = self.headers.get("CONTENT_LENGTH") or "0"
        is_known = (
            length.isascii() and length.isdigit() and self.headers.get("HTTP_TRANSFER_ENCODING") is None
        )
        if self._is_begun or not is_known or int(length[:20]) > REFUSED_BYTES:
            return False
        try:
            await self.receive(int(length))
        except (BadBody, Overloaded):
            return False
        return True

    def check(self, now: float) -> None:
        """Enforce deadlines. Called fifty times a second."""
        self._must_yield = self._visits.has_waiting and 0.0 < self._yields_at < now
        if self.due_at and (now > self.due_at or self._must_yield) and self.task is not None:
            self.due_at, self._is_late = 0.0, True
            self.task.cancel()
        elif self.may_be_withdrawn and self._watch is None and now > self.since + _CHECK_CALLER_AFTER_S:
            self._watch = self._visits.loop.create_task(self._cancel_on_disconnect())

    def end(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None  # its exception refers to this visit, which holds the response
        self.holding.end()
        self._visits.leave(self)

    def _await_body(self, within_s: float) -> None:
        self.task = asyncio.current_task()
        self.due_at = self._visits.loop.time() + within_s

    def _check_late(self) -> None:
        if self._is_late:
            if self.task is not None:
                self.task.uncancel()
            if self.waits_for_room:
                raise no_room(self.holding.memory)
            raise (BodyTooSlow(_SLOW_UNDER_CONTENTION) if self._must_yield else BodyTooSlow()) from None

    async def _cancel_on_disconnect(self) -> None:
        await self.proto.client_disconnect()
        self.cancel()


class Visits:
    """The requests in this process now, checked for deadlines and lost callers. Used on the loop only."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._open: set[Visit] = set()
        self._freed = asyncio.Event()
        self._waiting = 0  # for memory
        self._is_checking = False

    @property
    def has_waiting(self) -> bool:
        """Whether a request waits for memory that others hold."""
        return bool(self._waiting)

    def enter(self, scope: Scope, proto: Any) -> Visit:
        visit = Visit(self, scope, proto)
        self._open.add(visit)
        if not self._is_checking:
            self._is_checking = True
            self.loop.call_later(_CHECK_EVERY_S, self._check)
        return visit

    async def wait_for_room(self) -> None:
        """Wait until a request ends, or briefly: threads also release memory."""
        self._freed.clear()
        self._waiting += 1
        try:
            await self._freed.wait()
        finally:
            self._waiting -= 1

    def leave(self, visit: Visit) -> None:
        self._open.discard(visit)
        self._freed.set()

    def _check(self) -> None:
        if not self._open:
            self._is_checking = False
            return
        self.loop.call_later(_CHECK_EVERY_S, self._check)
        self._freed.set()
        now = self.loop.time()
        for visit in list(self._open):
            visit.check(now)


def send(proto: Any, response: WebResponse) -> None:
    if isinstance(response.body, bytes):
        proto.response_bytes(response.status, response.headers, response.body)
        return
    path, part = response.body
    proto.response_file_range(response.status, response.headers, str(path), part.start, part.stop)
