"""What every request gets: an id, and headers that keep a browser from running what is not ours."""

from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponse

from inference.doors import hot
from inference.serving import runtime
from registry.access.middleware import STALE_HEADER
from roundhouse.request_ids import id_for

View = Callable[[HttpRequest], HttpResponse]


class ShortWayMiddleware:
    """Take predictions straight to their views, past what only pages need: sessions, CSRF, messages, static files.

    The views are DRF's and check key and rights themselves. What those other middlewares say in headers is said
    here, as far as it concerns an answer that no browser renders.
    """

    def __init__(self, get_response: View) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        found = hot.resolve(request.path_info) if request.method == "POST" else None
        if found is None:
            return self.get_response(request)
        response = found.view(request, **found.kwargs)
        for name, value in closing_headers(len(response.content), getattr(request, "stale_s", 0)):
            response[name] = value
        response._has_been_logged = True  # type: ignore[attr-defined]  # Django writes a line for each refusal
        if "X-Request-ID" not in response:
            response["X-Request-ID"] = id_for(request)
        return response


def closing_headers(length: int, key_stale_s: int) -> list[tuple[str, str]]:
    """What every answer to a prediction says, whoever made it."""
    headers = [("Content-Length", str(length)), ("X-Content-Type-Options", "nosniff")]
    stale_s = max(runtime.stale_s(), key_stale_s)
    if stale_s:
        headers.append((STALE_HEADER, str(stale_s)))
    return headers


class RequestIdMiddleware:
    """Give each request an id, the caller's own X-Request-ID where it is harmless; put it in logs and answer."""

    def __init__(self, get_response: View) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = id_for(request)
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            response = self.get_response(request)
        response.setdefault("X-Request-ID", request_id)  # a prediction's own id says more
        return response


class ContentSecurityMiddleware:
    """Let pages load from this server only. The admin's Alpine.js needs 'unsafe-eval', nothing else gets it."""

    def __init__(self, get_response: View) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        script = "'self' 'unsafe-eval'" if request.path.startswith("/admin/") else "'self'"
        response.setdefault(
            "Content-Security-Policy",
            f"default-src 'self'; script-src {script}; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
            "worker-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        )
        return response
