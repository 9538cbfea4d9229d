"""The actor: set once per request, from the session or from an API key."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from registry.access.key_ring import Principal
from registry.access.keys import admit, sent_text
from registry.access.policies import actor_from_key, actor_from_user
from registry.kit.actors import Actor, Source

if TYPE_CHECKING:  # rest_framework.views imports this module before it has finished loading
    from rest_framework.views import APIView

View = Callable[[HttpRequest], HttpResponse]
STALE_HEADER = "X-Roundhouse-Stale"


class ActorMiddleware:
    """Set `request.actor` from the session, looked up on first use; an API key replaces it.

    A view that uses data the database could not confirm sets `request.stale_s`, which is sent in a header.
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


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer rh_…`"""

    def authenticate(self, request: Request) -> tuple[Principal, None] | None:
        plain = request._request
        text = self.sent_text(plain)
        if text is None:
            return None
        principal, stale_s = admit(text)
        request_id = getattr(plain, "request_id", "")
        plain.actor = actor_from_key(principal, request_id=request_id)  # type: ignore[attr-defined]
        plain.stale_s = max(stale_s, getattr(plain, "stale_s", 0))  # type: ignore[attr-defined]
        return principal, None

    def sent_text(self, request: HttpRequest) -> str | None:
        return sent_text(request.META)

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class DenyAll(BasePermission):
    """The default: nobody may use a view that does not set its own permissions."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        return False


def _session_actor(request: HttpRequest) -> Actor:
    source = Source.ADMIN if request.path.startswith("/admin/") else Source.API
    return actor_from_user(request.user, source, getattr(request, "request_id", ""))
