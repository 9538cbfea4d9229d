"""What every request gets: an id, and headers that keep a browser from running what is not ours."""

import re
import uuid
from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponse

_USABLE_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
View = Callable[[HttpRequest], HttpResponse]


class RequestIdMiddleware:
    """Give each request an id, the caller's own X-Request-ID where it is harmless; put it in logs and answer."""

    def __init__(self, get_response: View) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        offered = request.headers.get("X-Request-ID", "")
        request_id = offered if _USABLE_ID.fullmatch(offered) else uuid.uuid4().hex
        request.request_id = request_id  # type: ignore[attr-defined]
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
