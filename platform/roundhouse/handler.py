"""Django's own way in, made proof against headers that break it before any of our code can answer."""

from collections.abc import Callable
from typing import Any

import django
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import HttpResponseBase

from roundhouse.unread import Body, saying_so


class Request(WSGIRequest):
    """A request whose Content-Type says what it is, and nothing more."""

    def _set_content_type_params(self, meta: dict[str, str]) -> None:
        # Bodies here are UTF-8. A charset that nobody knows, or that is no text, would end the request in a traceback.
        media_type = meta.get("CONTENT_TYPE", "").partition(";")[0]
        self.content_type, self.content_params = media_type.strip().lower(), {}


class Handler(WSGIHandler):
    request_class = Request

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> HttpResponseBase:
        body = environ["wsgi.input"] = Body(environ)
        return super().__call__(environ, saying_so(start_response, body))


def application() -> Handler:
    """What `get_wsgi_application` makes, with our requests."""
    django.setup(set_prefix=False)
    return Handler()
