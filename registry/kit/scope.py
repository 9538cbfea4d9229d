"""Object scope: the one rule that decides which Models, and whose rows, somebody sees."""

from typing import Any, TypeVar

from django.apps import apps
from django.db.models import Model as Row
from django.db.models import QuerySet

from registry.kit.actors import Actor

R = TypeVar("R", bound=Row)

READ = "read_registry"


def visible_models(models: QuerySet[R], by: Actor) -> QuerySet[R]:
    """Keep the Models that the actor may see. Lists, details, files, exports and actions all start here."""
    return in_scope(models, by, model="pk")


def in_scope(rows: QuerySet[R], by: Actor, *, model: str = "model_id", right: str = READ) -> QuerySet[R]:
    """Keep the rows whose Model the actor may see; `model` is the path to its id, such as `split__model_id`."""
    if right not in by.rights:
        return rows.none()
    if by.models is None:
        return rows
    within: dict[str, Any] = {f"{model}__in": by.models}
    return rows.filter(**within)


def every_model() -> QuerySet[Any]:
    """All Models: the kit stands below the catalogue, so it knows their table by name only."""
    return apps.get_model("registry.Model")._default_manager.all()
