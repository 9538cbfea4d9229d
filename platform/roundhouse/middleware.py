"""What every request gets: an id, and headers that keep a browser from running what is not ours."""

from collections.abc import Callable
from urllib.parse import unquote
from zoneinfo import ZoneInfo

import structlog
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from roundhouse.request_ids import id_for

View = Callable[[HttpRequest], HttpResponse]


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


ZONE_COOKIE = "rh_zone"


class ViewersZoneMiddleware:
    """Write the admin's times, and read those that people type, in the zone that their browser told: see zone.js."""

    def __init__(self, get_response: View) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path.startswith("/admin/"):
            return self.get_response(request)
        with timezone.override(_zone(request.COOKIES.get(ZONE_COOKIE, ""))):
            return self.get_response(request)


def _zone(name: str) -> ZoneInfo | None:
    """The named zone; None, which means UTC, for what is not one."""
    try:
        return ZoneInfo(unquote(name)) if name else None
    except (ValueError, LookupError, OSError):
        return None
