"""Where a request comes from, when proxies stand in between."""

from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str:
    """Return the address that the outermost trusted proxy saw.

    Each proxy appends whom it heard from to X-Forwarded-For, so of n trusted proxies the n-th entry from the right
    is true; everything left of it was written by the client.
    """
    direct: str = request.META.get("REMOTE_ADDR", "")
    trusted: int = settings.TRUSTED_PROXIES
    heard = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    if not trusted or len(heard) < trusted:
        return direct
    try:
        return str(ip_address(heard[-trusted]))
    except ValueError:
        return direct
