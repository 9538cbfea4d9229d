"""Tenants, and their API keys: issued, changed, revoked for good."""

from collections.abc import Collection, Iterable
from datetime import datetime
from functools import partial
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from registry.access import keys
from registry.access.key_ring import digest_of, new_key_text
from registry.access.limits import NO_LIMITS, CallerLimits
from registry.access.models import ApiKey, Tenant
from registry.access.policies import Right
from registry.access.selectors import models_by_id
from registry.access.validation import checked_expiry, checked_limits, checked_scopes, checked_tenant_slug
from registry.errors import NameTaken, StaleState
from registry.kit.actors import Actor
from registry.kit.text import checked_line
from registry.record.audit import record_change


def create_tenant(*, slug: str, title: str = "", limits: CallerLimits = NO_LIMITS, by: Actor) -> Tenant:
    """Make a tenant; its name never changes, because keys and routing rules refer to it."""
    by.check(Right.MANAGE_KEYS)
    tenant = Tenant(slug=checked_tenant_slug(slug), title=_checked_title(title))
    tenant.limits = checked_limits(limits)
    after = {"slug": slug, **_tenant_facts(tenant)}
    try:
        with transaction.atomic():
            tenant.save()
            record_change(action="create_tenant", subject=tenant, before=None, after=after, by=by)
    except IntegrityError:
        raise NameTaken(f"There is already a tenant named {slug}; use it, or choose another name.") from None
    return tenant


@transaction.atomic
def change_tenant(
    *, tenant: Tenant, title: str | None = None, limits: CallerLimits | None = None, by: Actor
) -> Tenant:
    """Change the tenant's title, limits, or both; None keeps the present ones."""
    by.check(Right.MANAGE_KEYS)
    row = Tenant.objects.select_for_update().get(pk=tenant.pk)
    before = _tenant_facts(row)
    row.title = row.title if title is None else _checked_title(title)
    row.limits = row.limits if limits is None else checked_limits(limits)
    row.save()
    record_change(action="change_tenant", subject=row, before=before, after=_tenant_facts(row), by=by)
    transaction.on_commit(partial(keys.ring.forget_tenant, row.pk))
    return row


@transaction.atomic
def issue_key(
    *,
    name: str,
    tenant: Tenant,
    scopes: Iterable[str],
    models: Collection[int] = (),
    expires_at: datetime | None = None,
    limits: CallerLimits = NO_LIMITS,
    by: Actor,
) -> tuple[ApiKey, str]:
    """Make a key; return its row and its full text, which is shown only now. No `models` means all of them."""
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
    limits: CallerLimits | None = None,
    reason: str = "",
    by: Actor,
) -> ApiKey:
    """Change what a key may do; its text stays. No `models` means all of them; `limits` None keeps those it has."""
    by.check(Right.MANAGE_KEYS)
    row = ApiKey.objects.select_for_update().get(pk=key.pk)
    if row.revoked_at is not None:
        raise StaleState(f"{row} is revoked for good; create a new key.")
    before = key_facts(row)
    expires_at = expires_at if expires_at == row.expires_at else checked_expiry(expires_at)
    row.limits = row.limits if limits is None else checked_limits(limits)
    _write_terms(row, name=name, scopes=scopes, models=models, expires_at=expires_at)
    record_change(action="change_key", subject=row, before=before, after=key_facts(row), reason=reason, by=by)
    transaction.on_commit(partial(keys.ring.forget, row.pk))
    return row


@transaction.atomic
def revoke_key(*, key: ApiKey, reason: str = "", by: Actor) -> ApiKey:
    """Revoke a key: in this process at once, in every other within a minute."""
    by.check(Right.MANAGE_KEYS)
    now = timezone.now()
    if not ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now, changed_at=now):
        raise StaleState(f"{key} is already revoked.")
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
    """What audit records say about a key; never the digest."""
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


def _checked_title(title: str) -> str:
    return checked_line(title, what="title", longest=200, may_be_empty=True)


def _tenant_facts(tenant: Tenant) -> dict[str, Any]:
    return {"title": tenant.title, **tenant.limits.columns()}
