"""Reads of access, above all object scope: the one rule that decides which Models, and whose rows, somebody sees."""

from collections.abc import Collection
from typing import Any, TypeVar

from django.apps import apps
from django.contrib.auth.models import User
from django.db.models import Model as Row
from django.db.models import Q, QuerySet

from registry.errors import Invalid
from registry.record.actors import Actor

R = TypeVar("R", bound=Row)

_READ = "read_registry"


def visible_models(models: QuerySet[R], by: Actor) -> QuerySet[R]:
    """Keep the Models that the actor may see. Lists, details, files, exports and actions all start here."""
    return in_scope(models, by, model="pk")


def in_scope(rows: QuerySet[R], by: Actor, *, model: str = "model_id", right: str = _READ) -> QuerySet[R]:
    """Keep the rows whose Model the actor may see; `model` is the path to its id, such as `split__model_id`."""
    if right not in by.rights:
        return rows.none()
    if by.models is None:
        return rows
    within: dict[str, Any] = {f"{model}__in": by.models}
    return rows.filter(**within)


def every_model() -> QuerySet[Any]:
    """All Models: access stands below the catalogue, so it knows their table by name only."""
    return apps.get_model("registry.Model")._default_manager.all()


def models_by_id(ids: Collection[int]) -> QuerySet[Any]:
    """Return these Models; raise Invalid when one does not exist."""
    found = every_model().filter(pk__in=ids)
    missing = set(ids) - set(found.values_list("pk", flat=True))
    if missing:
        raise Invalid(f"There is no Model with the number {min(missing)}.")
    return found


def active_admins() -> QuerySet[User]:
    """Everybody who can log in and manage people."""
    by_role = Q(groups__name="admin", object_scope=None) | Q(is_superuser=True)
    return User.objects.filter(by_role, is_active=True, is_staff=True).distinct()
