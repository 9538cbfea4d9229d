"""API keys: issued once, changed in what they may do, revoked for good."""

from collections.abc import Collection, Iterable
from datetime import datetime
from functools import partial
from typing import Any

from django.db import transaction
from django.utils import timezone

from registry.access import keys
from registry.access.key_text import digest_of, new_key_text
from registry.access.limits import NO_LIMITS, Limits
from registry.access.models import ApiKey, Tenant
from registry.access.policies import Right
from registry.access.selectors import models_by_id
from registry.access.validation import checked_expiry, checked_limits, checked_line, checked_scopes
from registry.errors import StaleState
from registry.kit.actors import Actor
from registry.record.audit import record_change


@transaction.atomic
def issue_key(
    *,
    name: str,
    tenant: Tenant,
    scopes: Iterable[str],
    models: Collection[int] = (),
    expires_at: datetime | None = None,
    limits: Limits = NO_LIMITS,
    by: Actor,
) -> tuple[ApiKey, str]:
    """Make a key; return its row and the full text, which nobody can read again. No `models` means all of them."""
    by.check(Right.MANAGE_KEYS)
    prefix, text = new_key_text()
    key = ApiKey(prefix=prefix, digest=digest_of(text), tenant=tenant, created_by_id=by.user_id)
    key.limits = checked_limits(limits)
    _write_terms(key, name=name, scopes=scopes, models=models, expires_at=checked_expiry(expires_at))
    record_change(action="issue_key", subject=key, before=None, after=key_facts(key), by=by)
    return key, text


@transaction.atomic
def change_key(
    *,
    key: ApiKey,
    name: str,
    scopes: Iterable[str],
    models: Collection[int],
    expires_at: datetime | None,
    limits: Limits | None = None,
    reason: str = "",
    by: Actor,
) -> ApiKey:
    """Give a key other terms; its text stays the same. No `models` means all of them, no `limits` those it has."""
    by.check(Right.MANAGE_KEYS)
    row = ApiKey.objects.select_for_update().get(pk=key.pk)
    if row.revoked_at is not None:
        raise StaleState(f"{row} was revoked and stays so; issue a new key.")
    before = key_facts(row)
    expires_at = expires_at if expires_at == row.expires_at else checked_expiry(expires_at)
    row.limits = row.limits if limits is None else checked_limits(limits)
    _write_terms(row, name=name, scopes=scopes, models=models, expires_at=expires_at)
    record_change(action="change_key", subject=row, before=before, after=key_facts(row), reason=reason, by=by)
    transaction.on_commit(partial(keys.ring.forget, row.pk))
    return row


@transaction.atomic
def revoke_key(*, key: ApiKey, reason: str = "", by: Actor) -> ApiKey:
    """End a key: here at once, in every process within a minute."""
    by.check(Right.MANAGE_KEYS)
    now = timezone.now()
    if not ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now, changed_at=now):
        raise StaleState(f"{key} has been revoked already.")
    key.refresh_from_db()
    record_change(
        action="revoke_key",
        subject=key,
        before={"revoked": False},
        after={"revoked": True},
        reason=reason,
        by=by,
    )
    transaction.on_commit(partial(keys.ring.forget, key.pk))
    return key


def key_facts(key: ApiKey) -> dict[str, Any]:
    """What the record says about a key; never the digest."""
    return {
        "name": key.name,
        "tenant": key.tenant.slug,
        "scopes": key.scopes,
        "models": "all" if key.all_models else sorted(str(model) for model in key.only_models.all()),
        "expires_at": key.expires_at,
        **key.limits.columns(),
    }


def _write_terms(
    key: ApiKey, *, name: str, scopes: Iterable[str], models: Collection[int], expires_at: datetime | None
) -> None:
    key.name = checked_line(name, what="name", longest=100)
    key.scopes = checked_scopes(scopes)
    key.expires_at = expires_at
    key.all_models = not models
    key.save()
    key.only_models.set(models_by_id(models))
