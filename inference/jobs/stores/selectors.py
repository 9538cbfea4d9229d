"""Reads of stores."""

from django.db.models import QuerySet

from inference.jobs.stores.models import Store
from registry.kit.actors import Actor


def stores_for(by: Actor) -> "QuerySet[Store]":
    """The stores that the actor's jobs may use: a tenant's own, and for people those that are open to people."""
    if by.tenant_id is not None:
        return Store.objects.filter(tenants=by.tenant_id)
    return Store.objects.filter(for_people=True) if by.user_id is not None else Store.objects.none()
