"""The doors' way to API keys: this process's ring over the database, and the thread that keeps it true."""

import hmac
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any

import structlog
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from registry.access.key_ring import Admitted, KeyRing, Principal
from registry.access.models import ApiKey
from registry.kit.loops import Backoff, Loop, ThreadGroup

log = structlog.get_logger("roundhouse.keys")

TEND_S = 10.0


class KeyTable:
    """The ring's store: the table of keys."""

    def find(self, prefix: str, digest: str) -> Principal | None:
        key = _valid_keys().filter(prefix=prefix).first()
        if key is None or not hmac.compare_digest(key.digest, digest):
            return None
        return _principal(key)

    def still_valid(self, key_ids: Collection[int]) -> dict[int, Principal]:
        """A key whose row makes no sense is not among them: it alone is refused."""
        found = {}
        for key in _valid_keys().filter(pk__in=key_ids):
            try:
                found[key.pk] = _principal(key)
            except Exception as error:
                log.error("an API key cannot be read", key=key.pk, exc_info=error)
        return found

    def write_used(self, used_s_ago: Mapping[int, float]) -> None:
        """Write one time for all of them, the latest: `last used` is true to the minute."""
        used_at = timezone.now() - timedelta(seconds=min(used_s_ago.values()))
        ApiKey.objects.filter(pk__in=used_s_ago).update(last_used_at=used_at)


ring = KeyRing(KeyTable())


def admit(text: str) -> Admitted:
    """Return whom a key's full text stands for; raise NotAuthenticated. No query while it is remembered."""
    return ring.admit(text)


def recall(text: str) -> Admitted | None:
    """The same without a question to anybody; None where one would be needed."""
    return ring.recall(text)


def sent_text(headers: Any) -> str | None:
    """The key's text, as `Authorization: Bearer rh_…` says it; None without one."""
    # Not request.headers: that reads every header there is, for each request anew.
    scheme, _, text = headers.get("HTTP_AUTHORIZATION", "").partition(" ")
    return text.strip() if scheme.lower() == "bearer" else None


class Keeper:
    """A thread that asks about all remembered keys every TEND_S, so that no caller has to wait for it."""

    def __init__(self) -> None:
        # Later than this, callers would wait for look-ups that fail.
        backoff = Backoff(longest_s=TEND_S)
        self._thread = ThreadGroup(
            "key-keeper", Loop("API keys", ring.tend, TEND_S, "keys are kept as they were", backoff)
        )
        self._thread.start()

    def stop(self) -> None:
        self._thread.stop()


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
