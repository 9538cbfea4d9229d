"""Django behind the event loop: requests that are here whole, answered in a few threads, each as one piece or a file."""

import asyncio
import io
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import FileResponse, HttpResponseBase

from inference.checks.scratch import ScratchFolder
from inference.errors import BadBody, LengthRequired
from inference.serving.off_loop import WorkThreads
from registry.access import keys
from registry.errors import BodyTooLarge, NotAuthenticated
from roundhouse.rsgi import SMALL_BYTES, Answer, FilePart, HeaderList, Visit

LARGEST_BODY = max(settings.PREDICT_BINARY_BYTES, settings.PREDICT_JSON_BYTES, 64 << 20)
LARGEST_PIECE = 1 << 20  # of an answer; what is larger is sent from a file, as fast as its reader takes it
_WRITE_BYTES = 1 << 20
_FILE_STAYS_S = 60.0  # the server opens it at once, and what is open can be sent to its end
_MOST_WAITING, _WAIT_S = 256, 10.0

Environ = dict[str, Any]


class Request(WSGIRequest):
    """A request whose Content-Type says what it is, and nothing more."""

    def _set_content_type_params(self, meta: dict[str, str]) -> None:
        # Bodies here are UTF-8. A charset that nobody knows, or that is no text, would end the request in a traceback.
        media_type = meta.get("CONTENT_TYPE", "").partition(";")[0]
        self.content_type, self.content_params = media_type.strip().lower(), {}


class Handler(WSGIHandler):
    request_class = Request


class DjangoThreads:
    """Answers what is left to Django. A body that is not small waits for Django in a file."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._handler = Handler()
        self._threads = WorkThreads(
            "django", settings.WEB_THREADS, most_waiting=_MOST_WAITING, wait_s=_WAIT_S
        )
        self._loop = loop
        self._folder = ScratchFolder("answers")

    async def answer(self, visit: Visit) -> Answer:
        length = _length(visit)
        if length <= SMALL_BYTES:
            body: IO[bytes] = io.BytesIO(await visit.receive(length))
        else:
            body = await self._spooled(visit, length)
        with body:
            return await self._threads.run(partial(self._answer, environ_of(visit, body, length)))

    def close(self) -> None:
        self._threads.close()
        self._folder.remove()

    async def _spooled(self, visit: Visit, length: int) -> IO[bytes]:
        """A body of some size, from somebody who is known here: nobody else fills our disk."""
        await self._threads.run(partial(_check_known, visit))
        spool = _Spool(self._folder.path)
        try:
            waiting: list[bytes] = []
            async for part in visit.parts(length):
                waiting.append(part)
                if sum(map(len, waiting)) >= _WRITE_BYTES:
                    await self._threads.run(partial(spool.write, waiting))
                    waiting = []
            await self._threads.run(partial(spool.write, waiting))
            return spool.body()
        except BaseException:
            spool.close()
            raise

    def _answer(self, environ: Environ) -> Answer:
        """In a thread: Django's answer, so that nothing of it is left to be made while it is sent."""
        told: list[tuple[int, HeaderList]] = []

        def start(status: str, headers: HeaderList, *_: Any) -> Any:
            told.append((int(status[:3]), headers))

        response: Any = self._handler(environ, start)
        try:
            ((status, headers),) = told
            return Answer(status, headers, self._body(response))
        finally:
            response.close()  # also gives the thread's database connection back

    def _body(self, response: HttpResponseBase) -> bytes | FilePart:
        if (ready := getattr(response, "file_part", None)) is not None:
            return FilePart(*ready)
        if not response.streaming:
            content: bytes = response.content  # type: ignore[attr-defined]
            return content if len(content) <= LARGEST_PIECE else self._in_file(iter([content]), b"")
        if (whole := _own_file(response)) is not None:
            return whole
        pieces = iter(response)
        start = bytearray()  # pieces may be lines: each added to bytes would copy all before it
        for piece in pieces:
            start += piece
            if len(start) > LARGEST_PIECE:
                return self._in_file(pieces, start)
        return bytes(start)

    def _in_file(self, pieces: Any, start: bytes | bytearray) -> FilePart:
        file = tempfile.NamedTemporaryFile(dir=self._folder.path, delete=False)  # noqa: SIM115 (closed below)
        path, size = Path(file.name), len(start)
        try:
            with file:
                file.write(start)
                for piece in pieces:
                    size += file.write(piece)
        except BaseException:
            path.unlink()
            raise
        going = partial(path.unlink, missing_ok=True)
        self._loop.call_soon_threadsafe(self._loop.call_later, _FILE_STAYS_S, going)
        return FilePart(path, range(size))


class _Spool:
    """A body on its way into a file that has no name. Where there is no room for it, it is taken all the same, else its
    sender would not see the answer; whoever reads it is told."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: io.FileIO | None = None
        self._failure: OSError | None = None

    def write(self, parts: list[bytes]) -> None:
        """In a thread."""
        if self._failure is not None:
            return
        rest = memoryview(b"".join(parts))
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._failure = error
            self.close()  # others need the room

    def body(self) -> IO[bytes]:
        if self._failure is None and self._file is not None:
            self._file.seek(0)
            return io.BufferedReader(self._file)
        return io.BufferedReader(_Unreadable(self._failure or OSError("Nothing was written.")))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class _Unreadable(io.RawIOBase):
    def __init__(self, error: OSError) -> None:
        self._error = error

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object, /) -> int:
        raise self._error


def environ_of(visit: Visit, body: IO[bytes], length: int) -> Environ:
    scope = visit.scope
    host, _, port = scope.server.rpartition(":")
    environ: Environ = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "REMOTE_ADDR": scope.client.rpartition(":")[0].strip("[]"),
        "SERVER_NAME": host.strip("[]"),
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": body,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        **dict(visit.headers.items()),
    }
    environ["CONTENT_LENGTH"] = str(length) if length or "CONTENT_LENGTH" in environ else ""
    return environ


def _length(visit: Visit) -> int:
    """Of a body that Django gets; raises where it is too large, or its length is not said."""
    headers = visit.headers
    if headers.get("HTTP_TRANSFER_ENCODING") is not None:
        raise LengthRequired
    given = headers.get("CONTENT_LENGTH") or "0"
    if not (given.isascii() and given.isdigit() and len(given) < 20):
        raise BadBody("The Content-Length is no number.")
    if int(given) > LARGEST_BODY:
        raise BodyTooLarge(f"The body has {int(given):,} bytes; at most {LARGEST_BODY:,} are accepted here.")
    return int(given)


def _check_known(visit: Visit) -> None:
    """Raise NotAuthenticated for a stranger."""
    text = keys.sent_text(visit.headers)
    if text is not None:
        keys.admit(text)
        return
    request = Request(environ_of(visit, io.BytesIO(), 0))
    if not _has_session(request):
        raise NotAuthenticated(
            "Bodies of this size are accepted from callers with a key, and from people who are logged in."
        )


def _has_session(request: WSGIRequest) -> bool:
    from django.contrib.auth import get_user
    from django.contrib.sessions.middleware import SessionMiddleware

    SessionMiddleware(lambda _: None).process_request(request)  # type: ignore[arg-type]
    return bool(get_user(request).is_authenticated)


def _own_file(response: HttpResponseBase) -> FilePart | None:
    """The file that a response sends whole, such as a static one."""
    file = getattr(response, "file_to_stream", None)
    if (
        not isinstance(response, FileResponse)
        or not isinstance(file, io.BufferedReader)
        or response.status_code != 200
    ):
        return None
    path = Path(str(file.name))
    size = path.stat().st_size
    return FilePart(path, range(size)) if size > LARGEST_PIECE else None
