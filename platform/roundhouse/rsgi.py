"""Requests as the web server hands them over: their headers, their bodies within limits, and their answers."""

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

SMALL_BYTES = 256 << 10  # what is received and answered in one piece
# Of an answer. The server would hold a larger one for a reader who takes nothing, so it goes by a file.
LARGEST_PIECE = 1 << 20
REFUSED_BYTES = 64 << 10  # of a body that is not wanted: so much is taken, and the connection stays

FIRST_S = 10.0  # a body may take so long, and then as long as this rate lets it
LEAST_BYTES_PER_S = 32 << 10
HURRIED_BYTES_PER_S = 1 << 20  # the rate, while others wait for the memory that a body has
_ROOM_S = 5.0  # what has come waits so long for the memory to read it
_IN_THE_WAY = "Others wait for the memory that this body takes, and it comes more slowly than 1 MiB a second."
_LOOK_S = 0.02
_LOOK_FOR_CALLER_S = 0.1  # an answer that takes longer is withdrawn when its caller has gone

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
    """A part of a file as an answer's body."""

    path: Path
    part: range


class Answer(NamedTuple):
    status: int
    headers: HeaderList
    body: bytes | FilePart


@lru_cache(maxsize=1024)
def _wsgi_name(header: str) -> str:
    name = header.upper().replace("-", "_")
    return name if name in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{name}"


class Headers(dict[str, str]):
    """A request's headers by the names that WSGI gives them. One that is not ASCII is there, and empty; lines of one name
    are joined.

    Names with underscores are left out: under WSGI's names they would pass for others.
    """

    def __init__(self, given: Any) -> None:
        for header, value in given.items():
            if "_" not in header:
                name = _wsgi_name(header)
                before = self.get(name)
                if before is not None:
                    value = f"{before}; {value}" if header == "cookie" else f"{before},{value}"
                self[name] = value
        headers = given.keys()
        if len(headers) != len(self):
            for header in headers:
                if "_" not in header:
                    self.setdefault(_wsgi_name(header), "")


class Visit(Cancellation):
    """One request while it is in this process: what it waits for, and whether its caller still does."""

    def __init__(self, underway: "Underway", scope: Scope, proto: Any) -> None:
        super().__init__()
        self._underway = underway
        self.scope, self.proto = scope, proto
        self.headers = Headers(scope.headers)
        self.since = underway.loop.time()
        self.due_at = 0.0  # until when the body must be here; 0: nothing is awaited
        self.holding = MemoryHolding(memory)
        self.waits_for_room = False  # in that memory
        self.task: asyncio.Task[Any] | None = None
        self.may_be_withdrawn = False  # once its answer is being made, for a caller who may leave
        self._hurries_at = 0.0  # from when on a large body must make room for others who wait; 0: it need not
        self._is_begun = self._is_taken = self._is_late = self._is_in_the_way = False
        self._lookout: asyncio.Task[None] | None = None

    async def receive(self, length: int) -> bytes:
        """Exactly so many bytes of the body, or BadBody, BodyTooSlow or Overloaded."""
        if length > SMALL_BYTES:
            return b"".join([part async for part in self.parts(length, held=length)])
        self._is_begun = True
        if not length:
            self._is_taken = True
            return b""
        self._await_body(FIRST_S + length / LEAST_BYTES_PER_S)
        try:
            await self._find_room(partial(self.holding.take, length))
            body: bytes = await self.proto()
        except asyncio.CancelledError:
            self._check_late()
            raise
        except RuntimeError:  # granian's way to say that the connection is gone
            raise connection_lost() from None
        finally:
            self.due_at = 0.0
        if len(body) != length:
            raise cut_short(length - len(body))
        self._is_taken = True
        return body

    async def parts(self, length: int, *, held: int) -> AsyncIterator[bytes]:
        """The same, part by part; so many bytes of them are in memory at once. None is taken before there is room for those:
        of bodies that are half here, each might wait for another."""
        missing = length
        self._await_body(FIRST_S)
        try:
            await self._find_room(partial(self.holding.take_for_body, held))
            self._is_begun = True
            started = self._underway.loop.time()
            self.due_at = started + FIRST_S
            self._hurries_at = self.due_at + length / HURRIED_BYTES_PER_S
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
            self.due_at = self._hurries_at = 0.0
        if missing:
            raise cut_short(missing)
        self._is_taken = True

    async def hold(self, nbytes: int) -> None:
        """Wait until so many more bytes may be held; Overloaded where that takes too long."""
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
        """While there is none, wait: nothing is taken from the connection."""
        while not take():
            self.waits_for_room = True
            await self._underway.wait_for_room()
        self.waits_for_room = False

    async def take_rest(self) -> bool:
        """Take a body that was refused unread, where that is quickly done; False: the connection must end."""
        if self._is_taken:
            return True
        given = self.headers.get("CONTENT_LENGTH") or "0"
        is_known = given.isascii() and given.isdigit() and self.headers.get("HTTP_TRANSFER_ENCODING") is None
        if self._is_begun or not is_known or int(given[:20]) > REFUSED_BYTES:
            return False
        try:
            await self.receive(int(given))
        except (BadBody, Overloaded):
            return False
        return True

    def look_after(self, now: float) -> None:
        """Called fifty times a second while the request is here."""
        self._is_in_the_way = self._underway.is_waited_in and 0.0 < self._hurries_at < now
        if self.due_at and (now > self.due_at or self._is_in_the_way) and self.task is not None:
            self.due_at, self._is_late = 0.0, True
            self.task.cancel()
        elif self.may_be_withdrawn and self._lookout is None and now > self.since + _LOOK_FOR_CALLER_S:
            self._lookout = self._underway.loop.create_task(self._withdraw_when_gone())

    def end(self) -> None:
        if self._lookout is not None:
            self._lookout.cancel()
            self._lookout = None  # its error keeps this visit, which has the answer in its hands
        self.holding.end()
        self._underway.leave(self)

    def _await_body(self, within_s: float) -> None:
        self.task = asyncio.current_task()
        self.due_at = self._underway.loop.time() + within_s

    def _check_late(self) -> None:
        if self._is_late:
            if self.task is not None:
                self.task.uncancel()
            if self.waits_for_room:
                raise no_room(self.holding.memory)
            raise (BodyTooSlow(_IN_THE_WAY) if self._is_in_the_way else BodyTooSlow()) from None

    async def _withdraw_when_gone(self) -> None:
        await self.proto.client_disconnect()
        self.cancel()


class Underway:
    """The requests that are in this process now; those that wait are looked after. Lives on the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._visits: set[Visit] = set()
        self._freed = asyncio.Event()
        self._waiting = 0  # for memory
        self._is_looking = False

    @property
    def is_waited_in(self) -> bool:
        """Whether somebody waits for memory that others have."""
        return bool(self._waiting)

    def enter(self, scope: Scope, proto: Any) -> Visit:
        visit = Visit(self, scope, proto)
        self._visits.add(visit)
        if not self._is_looking:
            self._is_looking = True
            self.loop.call_later(_LOOK_S, self._look)
        return visit

    async def wait_for_room(self) -> None:
        """Until a request has left, or a moment later: threads give memory back as well."""
        self._freed.clear()
        self._waiting += 1
        try:
            await self._freed.wait()
        finally:
            self._waiting -= 1

    def leave(self, visit: Visit) -> None:
        self._visits.discard(visit)
        self._freed.set()

    def _look(self) -> None:
        if not self._visits:
            self._is_looking = False
            return
        self.loop.call_later(_LOOK_S, self._look)
        self._freed.set()
        now = self.loop.time()
        for visit in list(self._visits):
            visit.look_after(now)


def send(proto: Any, answer: Answer) -> None:
    if isinstance(answer.body, bytes):
        proto.response_bytes(answer.status, answer.headers, answer.body)
        return
    path, part = answer.body
    proto.response_file_range(answer.status, answer.headers, str(path), part.start, part.stop)
