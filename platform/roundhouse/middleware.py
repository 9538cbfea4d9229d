"""What every request gets: an id, security headers, and the viewer's time zone."""

import re
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo

import structlog
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

View = Callable[[HttpRequest], HttpResponse]

ZONE_COOKIE = "rh_zone"
_LOGGABLE_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def id_for(request: Any) -> str:
    """The request's id: the caller's X-Request-ID if it is safe to log, otherwise a new one.

    It is created on first use, because most predictions never need it: they have their own id, which is more useful.
    """
    known: str | None = getattr(request, "request_id", None)
    if known is None:
        offered = request.META.get("HTTP_X_REQUEST_ID", "")
        known = request.request_id = offered if _LOGGABLE_ID.fullmatch(offered) else uuid.uuid4().hex
    return known


class RequestIdMiddleware:
    """Put the request's id into its log lines and its response."""

    def __init__(self, get_response: View) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = id_for(request)
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            response = self.get_response(request)
        response.setdefault("X-Request-ID", request_id)  # a prediction has set its own
        return response


class ContentSecurityMiddleware:
    """Let pages load only from this server. Only the admin gets 'unsafe-eval', which its Alpine.js needs."""

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


class ViewersZoneMiddleware:
    """Show and read the admin's times in the zone of the viewer's browser (zone.js sets the cookie)."""

    def __init__(self, get_response: View) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path.startswith("/admin/"):
            return self.get_response(request)
        with timezone.override(_zone(request.COOKIES.get(ZONE_COOKIE, ""))):
            return self.get_response(request)


def _zone(name: str) -> ZoneInfo | None:
    """The named zone, or None (UTC) if there is no such zone."""
    try:
        return ZoneInfo(unquote(name)) if name else None
    except (ValueError, LookupError, OSError):
        return None
