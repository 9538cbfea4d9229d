"""Tenants: whom keys act for."""

from functools import partial
from typing import Any

from django.db import IntegrityError, transaction

from registry.access import keys
from registry.access.limits import NO_LIMITS, Limits
from registry.access.models import Tenant
from registry.access.policies import Right
from registry.access.validation import checked_limits, checked_line, checked_tenant_slug
from registry.errors import NameTaken
from registry.kit.actors import Actor
from registry.record.audit import record_change


def create_tenant(*, slug: str, title: str = "", limits: Limits = NO_LIMITS, by: Actor) -> Tenant:
    """Make a tenant; its name never changes, because keys and routing rules hang on it."""
    by.check(Right.MANAGE_KEYS)
    tenant = Tenant(slug=checked_tenant_slug(slug), title=_checked_title(title))
    tenant.limits = checked_limits(limits)
    after = {"slug": slug, **_told(tenant)}
    try:
        with transaction.atomic():
            tenant.save()
            record_change(action="create_tenant", subject=tenant, before=None, after=after, by=by)
    except IntegrityError:
        raise NameTaken(f"A tenant named {slug} exists already; use it, or choose another name.") from None
    return tenant


@transaction.atomic
def change_tenant(
    *, tenant: Tenant, title: str | None = None, limits: Limits | None = None, by: Actor
) -> Tenant:
    """Give the tenant another title, other limits, or both; what is None stays."""
    by.check(Right.MANAGE_KEYS)
    row = Tenant.objects.select_for_update().get(pk=tenant.pk)
    before = _told(row)
    row.title = row.title if title is None else _checked_title(title)
    row.limits = row.limits if limits is None else checked_limits(limits)
    row.save()
    record_change(action="change_tenant", subject=row, before=before, after=_told(row), by=by)
    transaction.on_commit(partial(keys.ring.forget_tenant, row.pk))
    return row


def _checked_title(title: str) -> str:
    return checked_line(title, what="title", longest=200, may_be_empty=True)


def _told(tenant: Tenant) -> dict[str, Any]:
    """What the record says about a tenant."""
    return {"title": tenant.title, **tenant.limits.columns()}
