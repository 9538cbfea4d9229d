"""Fixes who acts, once per request, at the door."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject

from registry.access.policies import actor_from_user
from registry.kit.actors import Actor, Source

View = Callable[[HttpRequest], HttpResponse]
STALE_HEADER = "X-Roundhouse-Stale"


class ActorMiddleware:
    """Set `request.actor` from the session, looked up when first asked for; an API key replaces it.

    Whoever answers from knowledge that the database could not confirm sets `request.stale_s`; the caller is told.
    """

    def __init__(self, get_response: View) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.actor = SimpleLazyObject(lambda: _session_actor(request))  # type: ignore[attr-defined]
        response = self.get_response(request)
        stale_s = getattr(request, "stale_s", 0)
        if stale_s:
            response[STALE_HEADER] = str(stale_s)
        return response


def _session_actor(request: HttpRequest) -> Actor:
    source = Source.ADMIN if request.path.startswith("/admin/") else Source.API
    return actor_from_user(request.user, source, getattr(request, "request_id", ""))
