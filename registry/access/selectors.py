"""Reads of access."""

from collections.abc import Collection
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet

from registry.errors import Invalid
from registry.kit.actors import every_model


def models_by_id(ids: Collection[int]) -> QuerySet[Any]:
    """Return these Models; raise Invalid if one does not exist."""
    models = every_model().filter(pk__in=ids)
    missing = set(ids) - set(models.values_list("pk", flat=True))
    if missing:
        raise Invalid(f"There is no Model with the number {min(missing)}.")
    return models


def active_admins() -> QuerySet[User]:
    """All people who can log in and manage people."""
    by_role = Q(groups__name="admin", object_scope=None) | Q(is_superuser=True)
    return User.objects.filter(by_role, is_active=True, is_staff=True).distinct()
