"""Django's own way in, proof against headers that break it before our code can answer, and short for predictions."""

from collections.abc import Callable, Iterable
from typing import Any

from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.db import close_old_connections

from inference.doors import hot
from inference.doors.hot import Hot
from roundhouse.short_way import answer_shortly
from roundhouse.unread import Body, saying_so

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


class Request(WSGIRequest):
    """A request whose Content-Type says what it is, and nothing more."""

    def _set_content_type_params(self, meta: dict[str, str]) -> None:
        # Bodies here are UTF-8. A charset that nobody knows, or that is no text, would end the request in a traceback.
        media_type = meta.get("CONTENT_TYPE", "").partition(";")[0]
        self.content_type, self.content_params = media_type.strip().lower(), {}


class Handler(WSGIHandler):
    request_class = Request

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:  # type: ignore[override]
        body = environ["wsgi.input"] = Body(environ)
        start = saying_so(start_response, body)
        path = environ["PATH_INFO"]
        is_hot = environ["REQUEST_METHOD"] == "POST" and path.isascii() and not environ.get("SCRIPT_NAME")
        found = hot.resolve(path) if is_hot else None
        return super().__call__(environ, start) if found is None else self._shortly(found, environ, start)

    def _shortly(self, found: Hot, environ: Environ, start: StartResponse) -> list[bytes]:
        """Leave out Django's signals too, which a prediction needs for nothing but to let connections go."""
        try:
            response = answer_shortly(found, self.request_class(environ))
        finally:
            close_old_connections()
        start(f"{response.status_code} {response.reason_phrase}", [*response.items()])
        return [response.content]
