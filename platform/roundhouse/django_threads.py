"""Django behind the event loop. It gets whole requests, runs in a few threads, and answers with bytes or a file."""

import io
import re
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
from registry.console.golden_set import MAX_PAGE_ZIP_BYTES
from registry.errors import BodyTooLarge, NotAuthenticated
from registry.intake.examples.rows import MAX_SET_BYTES
from roundhouse.rsgi import MAX_PIECE_BYTES, SMALL_BYTES, FilePart, HeaderList, Visit, WebResponse
from roundhouse.spool import Spool, SpooledBody

_FORM_FIELDS = 2**20  # beside the file in a form
MAX_BODY_BYTES = max(
    settings.PREDICT_BINARY_BYTES, settings.PREDICT_JSON_BYTES, MAX_PAGE_ZIP_BYTES + _FORM_FIELDS
)
_LARGER_BODIES = ((re.compile(r"/api/v1/models/[^/]+/golden-set"), MAX_SET_BYTES),)
_WRITE_BYTES = 1 << 20
_MAX_WAITING, _WAIT_S = 256, 10.0

Environ = dict[str, Any]


class PlainTypeRequest(WSGIRequest):
    """A request that ignores the parameters of its Content-Type."""

    def _set_content_type_params(self, meta: dict[str, str]) -> None:
        # Bodies are UTF-8. An unknown charset, or one that is not for text, would end the request with a traceback.
        media_type = meta.get("CONTENT_TYPE", "").partition(";")[0]
        self.content_type, self.content_params = media_type.strip().lower(), {}


class DjangoHandler(WSGIHandler):
    request_class = PlainTypeRequest


class DjangoThreads:
    """Answers requests in Django's threads. A body above 256 KiB is kept in a file."""

    def __init__(self, spool: Spool) -> None:
        self._handler = DjangoHandler()
        self._threads = WorkThreads("django", settings.WEB_THREADS, most_waiting=_MAX_WAITING, wait_s=_WAIT_S)
        self._spool = spool

    async def answer(self, visit: Visit) -> WebResponse:
        length = _length(visit)
        if length <= SMALL_BYTES:
            body: IO[bytes] = io.BytesIO(await visit.receive(length))
        else:
            body = await self._spool_body(visit, length)
        with body:
            return await self._threads.run(partial(self._answer, environ_of(visit, body, length)))

    def close(self) -> None:
        self._threads.close()

    async def _spool_body(self, visit: Visit, length: int) -> IO[bytes]:
        """Receive a large body into a file. Only authenticated callers may use the disk."""
        spooled = await self._threads.run(partial(self._open_spooled_body, visit))
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

    def _open_spooled_body(self, visit: Visit) -> SpooledBody:
        _check_authenticated(visit)
        return self._spool.body()

    def _answer(self, environ: Environ) -> WebResponse:
        """Run Django in a thread. Its response is complete before it is sent."""
        started: list[tuple[int, HeaderList]] = []

        def start(status: str, headers: HeaderList, *_: Any) -> Any:
            started.append((int(status[:3]), headers))

        response: Any = self._handler(environ, start)
        try:
            ((status, headers),) = started
            return WebResponse(status, headers, self._body(response))
        finally:
            response.close()  # also returns the thread's database connection

    def _body(self, response: HttpResponseBase) -> bytes | FilePart:
        if (ready := getattr(response, "file_part", None)) is not None:
            return FilePart(*ready)
        if not response.streaming:
            content: bytes = response.content  # type: ignore[attr-defined]
            return content if len(content) <= MAX_PIECE_BYTES else self._spool.answer([content])
        if (file := _static_file(response)) is not None:
            return file
        pieces = iter(response)
        start = (
            bytearray()
        )  # a bytearray, because pieces may be lines: adding each to bytes would copy everything before it
        for piece in pieces:
            start += piece
            if len(start) > MAX_PIECE_BYTES:
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
    """The length of a body for Django. Raise if it is missing, or too large."""
    headers = visit.headers
    if headers.get("HTTP_TRANSFER_ENCODING") is not None:
        raise LengthRequired
    length = headers.get("CONTENT_LENGTH") or "0"
    if not (length.isascii() and length.isdigit() and len(length) < 20):
        raise BadBody("The Content-Length is not a number.")
    most = max_body_bytes(visit.scope.path)
    if int(length) > most:
        raise BodyTooLarge(f"The body has {int(length):,} bytes; at most {most:,} are accepted here.")
    return int(length)


def max_body_bytes(path: str) -> int:
    """How large a body may be at an address."""
    return next((most for pattern, most in _LARGER_BODIES if pattern.fullmatch(path)), MAX_BODY_BYTES)


def _check_authenticated(visit: Visit) -> None:
    """Raise NotAuthenticated for a caller without a valid key or session."""
    text = keys.sent_text(visit.headers)
    if text is not None:
        keys.admit(text)
        return
    request = PlainTypeRequest(environ_of(visit, io.BytesIO(), 0))
    if not _has_session(request):
        raise NotAuthenticated(
            "Bodies of this size are accepted only with an API key, or from people who are logged in."
        )


def _has_session(request: WSGIRequest) -> bool:
    SessionMiddleware(lambda _: None).process_request(request)  # type: ignore[arg-type]
    return bool(get_user(request).is_authenticated)


def _static_file(response: HttpResponseBase) -> FilePart | None:
    """The file that a response consists of, such as a static file, if it is large."""
    file = getattr(response, "file_to_stream", None)
    if (
        not isinstance(response, FileResponse)
        or not isinstance(file, io.BufferedReader)
        or response.status_code != 200
    ):
        return None
    path = Path(str(file.name))
    size = path.stat().st_size
    return FilePart(path, range(size)) if size > MAX_PIECE_BYTES else None
