"""DRF's view of API keys."""

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from registry.access.key_ring import Principal
from registry.access.keys import admit, sent_text
from registry.access.policies import actor_from_key


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer rh_…`"""

    def authenticate(self, request: Request) -> tuple[Principal, None] | None:
        plain = request._request
        text = sent_text(plain.META)
        if text is None:
            return None
        principal, stale_s = admit(text)
        request_id = getattr(plain, "request_id", "")
        plain.actor = actor_from_key(principal, request_id=request_id)  # type: ignore[attr-defined]
        plain.stale_s = max(stale_s, getattr(plain, "stale_s", 0))  # type: ignore[attr-defined]
        return principal, None

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"
