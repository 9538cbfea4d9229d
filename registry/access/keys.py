"""API keys in the database: the process's key ring, the thread that refreshes it, and keys that sign messages."""

import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from registry.access.key_ring import USED_S, Admitted, KeyRing, Principal
from registry.access.models import ApiKey
from registry.kit.actors import Actor
from registry.kit.loops import Backoff, Loop, ThreadGroup

log = structlog.get_logger("roundhouse.keys")

REFRESH_EVERY_S = 10.0


class KeyTable:
    """The table of keys, as the key ring reads it."""

    def find(self, prefix: str, digest: str) -> Principal | None:
        key = _valid_keys().filter(prefix=prefix).first()
        if key is None or not hmac.compare_digest(key.digest, digest):
            return None
        return _principal(key)

    def still_valid(self, key_ids: Collection[int]) -> dict[int, Principal]:
        """Return the valid keys among these. A key whose row cannot be read is left out, so only that key is refused."""
        principals = {}
        for key in _valid_keys().filter(pk__in=key_ids):
            try:
                principals[key.pk] = _principal(key)
            except Exception as error:
                log.error("an API key cannot be read", key=key.pk, exc_info=error)
        return principals

    def write_used(self, used_s_ago: Mapping[int, float]) -> None:
        """Write the most recent time for all of these keys: "last used" is accurate only to a minute."""
        used_at = timezone.now() - timedelta(seconds=min(used_s_ago.values()))
        ApiKey.objects.filter(pk__in=used_s_ago).update(last_used_at=used_at)


ring = KeyRing(KeyTable())


def admit(text: str) -> Admitted:
    """Return the principal of a key's full text; raise NotAuthenticated. No query while the key is cached."""
    return ring.admit(text)


def recall(text: str) -> Admitted | None:
    """Like `admit`, but without a query; None if one is needed."""
    return ring.recall(text)


def sent_text(headers: Any) -> str | None:
    """Return the key's text from `Authorization: Bearer rh_…`, or None."""
    # Not request.headers: that builds a mapping of all headers for each request.
    scheme, _, text = headers.get("HTTP_AUTHORIZATION", "").partition(" ")
    return text.strip() if scheme.lower() == "bearer" else None


class KeyRefresher:
    """A thread that confirms all cached keys every REFRESH_EVERY_S, so that callers do not wait for look-ups."""

    def __init__(self) -> None:
        # With longer pauses, callers would have to wait for look-ups that fail.
        backoff = Backoff(longest_s=REFRESH_EVERY_S)
        self._thread = ThreadGroup(
            "key-keeper",
            Loop("API keys", ring.refresh, REFRESH_EVERY_S, "cached keys are not refreshed", backoff),
        )
        self._thread.start()

    def stop(self) -> None:
        self._thread.stop()


@dataclass(frozen=True, slots=True)
class Signer:
    """A key that signs messages instead of being sent; the shared secret is the hex SHA-256 of its text."""

    key_id: int
    name: str
    secret: str
    principal: Principal | None  # None: revoked, or expired


def signer(prefix: str) -> Signer | None:
    """Find a key, valid or not: an expired key still proves who sent a message."""
    key = ApiKey.objects.filter(prefix=prefix).first() if len(prefix) == 8 and prefix.isalnum() else None
    if key is None:
        return None
    principal = KeyTable().still_valid([key.pk]).get(key.pk)
    return Signer(key.pk, str(key), key.digest, principal)


def note_use(key_id: int) -> None:
    """Record that the key was used, at most once a minute."""
    now = timezone.now()
    due = Q(last_used_at=None) | Q(last_used_at__lt=now - timedelta(seconds=USED_S))
    ApiKey.objects.filter(due, pk=key_id).update(last_used_at=now)


def person_behind(by: Actor) -> int | None:
    """The person who acts, or who issued the acting key; None for commands and tasks."""
    if by.key_id is None:
        return by.user_id
    return ApiKey.objects.filter(pk=by.key_id).values_list("created_by_id", flat=True).first()


def _valid_keys() -> QuerySet[ApiKey]:
    unexpired = Q(expires_at=None) | Q(expires_at__gt=Now())
    keys = ApiKey.objects.filter(unexpired, revoked_at=None)
    return keys.select_related("tenant").prefetch_related("only_models")


def _principal(key: ApiKey) -> Principal:
    return Principal(
        key_id=key.pk,
        name=key.name,
        tenant_id=key.tenant_id,
        tenant=key.tenant.slug,
        scopes=frozenset(key.scopes),
        models=None if key.all_models else frozenset(model.pk for model in key.only_models.all()),
        expires_at=key.expires_at.timestamp() if key.expires_at else None,
        limits=key.limits,
        tenant_limits=key.tenant.limits,
    )
