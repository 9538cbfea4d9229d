"""Django behind the event loop: requests that are here whole, answered in a few threads, each as one piece or a file."""

import io
import sys
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import FileResponse, HttpResponseBase

from inference.errors import BadBody, LengthRequired
from inference.serving.off_loop import WorkThreads
from registry.access import keys
from registry.errors import BodyTooLarge, NotAuthenticated
from roundhouse.rsgi import LARGEST_PIECE, SMALL_BYTES, Answer, FilePart, HeaderList, Visit
from roundhouse.spool import Spool, SpooledBody

LARGEST_BODY = max(settings.PREDICT_BINARY_BYTES, settings.PREDICT_JSON_BYTES, 64 << 20)
_WRITE_BYTES = 1 << 20
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

    def __init__(self, spool: Spool) -> None:
        self._handler = Handler()
        self._threads = WorkThreads(
            "django", settings.WEB_THREADS, most_waiting=_MOST_WAITING, wait_s=_WAIT_S
        )
        self._spool = spool

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

    async def _spooled(self, visit: Visit, length: int) -> IO[bytes]:
        """A body of some size, from somebody who is known here: nobody else fills our disk."""
        spooled = await self._threads.run(partial(self._place_for_body, visit))
        try:
            waiting: list[bytes] = []
            async for part in visit.parts(length, held=2 * _WRITE_BYTES):
                waiting.append(part)
                if sum(map(len, waiting)) >= _WRITE_BYTES:
                    await self._threads.run(partial(spooled.write, waiting))
                    waiting = []
            await self._threads.run(partial(spooled.write, waiting))
        except BaseException:
            spooled.close()
            raise
        return spooled.read_back()

    def _place_for_body(self, visit: Visit) -> SpooledBody:
        _check_known(visit)
        return self._spool.body()

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
            return content if len(content) <= LARGEST_PIECE else self._spool.answer([content])
        if (whole := _own_file(response)) is not None:
            return whole
        pieces = iter(response)
        start = bytearray()  # pieces may be lines: each added to bytes would copy all before it
        for piece in pieces:
            start += piece
            if len(start) > LARGEST_PIECE:
                return self._spool.answer(chain([bytes(start)], pieces))
        return bytes(start)


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
        **visit.headers,
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
