"""Predictions straight to their views, past what only pages need: sessions, CSRF, messages, static files.

The views are DRF's and check key and rights themselves. What the middlewares that are left out say in headers is said
here, as far as it concerns an answer that no browser renders.
"""

from django.http import HttpRequest, HttpResponse

from inference.doors.hot import Hot
from inference.serving import runtime
from registry.access.middleware import STALE_HEADER
from roundhouse.request_ids import id_for


def answer_shortly(found: Hot, request: HttpRequest) -> HttpResponse:
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
