"""Tenants: whom keys act for."""

from django.db import IntegrityError, transaction

from registry.access.models import Tenant
from registry.access.policies import Right
from registry.access.validation import checked_line, checked_tenant_slug
from registry.errors import NameTaken
from registry.record.actors import Actor
from registry.record.audit import record_change


def create_tenant(*, slug: str, title: str = "", by: Actor) -> Tenant:
    """Make a tenant; its name never changes, because keys and routing rules hang on it."""
    by.check(Right.MANAGE_KEYS)
    slug, title = checked_tenant_slug(slug), checked_line(title, what="title", longest=200, may_be_empty=True)
    try:
        with transaction.atomic():
            tenant = Tenant.objects.create(slug=slug, title=title)
            record_change(
                action="create_tenant",
                subject=tenant,
                before=None,
                after={"slug": slug, "title": title},
                by=by,
            )
    except IntegrityError:
        raise NameTaken(f"A tenant named {slug} exists already; use it, or choose another name.") from None
    return tenant


@transaction.atomic
def change_tenant(*, tenant: Tenant, title: str, by: Actor) -> Tenant:
    """Give the tenant another title."""
    by.check(Right.MANAGE_KEYS)
    title = checked_line(title, what="title", longest=200, may_be_empty=True)
    row = Tenant.objects.select_for_update().get(pk=tenant.pk)
    before = {"title": row.title}
    row.title = title
    row.save(update_fields=["title", "changed_at"])
    record_change(action="change_tenant", subject=row, before=before, after={"title": title}, by=by)
    return row
