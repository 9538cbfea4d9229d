"""Keys that sign instead of being shown: what sender and Roundhouse both have is the key's digest."""

from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from registry.access.key_ring import USED_S, Principal
from registry.access.keys import KeyTable
from registry.access.models import ApiKey


@dataclass(frozen=True, slots=True)
class Signer:
    """A key by its prefix; the secret is the SHA-256 of its text, in hex."""

    key_id: int
    name: str
    secret: str
    principal: Principal | None  # None: revoked, or expired


def signer(prefix: str) -> Signer | None:
    """Find a key, valid or not: one whose time is over still proves who sent something."""
    key = ApiKey.objects.filter(prefix=prefix).first() if len(prefix) == 8 and prefix.isalnum() else None
    if key is None:
        return None
    principal = KeyTable().still_valid([key.pk]).get(key.pk)
    return Signer(key.pk, str(key), key.digest, principal)


def note_use(key_id: int) -> None:
    """Write down that the key was used, at most once a minute."""
    now = timezone.now()
    long_ago = Q(last_used_at=None) | Q(last_used_at__lt=now - timedelta(seconds=USED_S))
    ApiKey.objects.filter(long_ago, pk=key_id).update(last_used_at=now)
