"""Who acts, with which rights, and on which Models."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from django.apps import apps
from django.core.exceptions import PermissionDenied
from django.db.models import Model as Row
from django.db.models import QuerySet

from registry.errors import NotAllowed

R = TypeVar("R", bound=Row)

READ = "read_registry"


class LacksRight(PermissionDenied):
    """Django's 403 that knows which right is missing, so that the page can name who holds it."""

    def __init__(self, right: str, *, model_id: int | None = None) -> None:
        super().__init__(f"You lack the right to {right.replace('_', ' ')}.")
        self.right, self.model_id = right, model_id


class Source(StrEnum):
    """Where a change came from."""

    ADMIN = "admin"
    API = "api"
    COMMAND = "command"
    TASK = "task"


@dataclass(frozen=True, slots=True)
class Actor:
    """A person, key, command or task. Every service expects one as `by`; its rights are fixed when it is created."""

    name: str
    source: Source
    rights: frozenset[str] = frozenset()
    models: frozenset[int] | None = None  # None: all Models
    user_id: int | None = None
    key_id: int | None = None
    tenant_id: int | None = None
    request_id: str = field(default="", compare=False)

    def may(self, right: str, *, model_id: int | None = None) -> bool:
        """Whether the actor holds the right, for this Model if one is given."""
        reaches = self.models is None or (model_id is not None and model_id in self.models)
        return right in self.rights and reaches

    def check(self, right: str, *, model_id: int | None = None) -> None:
        if not self.may(right, model_id=model_id):
            raise NotAllowed(
                f"{self.name} lacks the right to {right.replace('_', ' ')}{' here' if model_id else ''}."
            )


def require_right(by: Actor, right: str, *, model_id: int) -> None:
    """Raise LacksRight unless the actor holds the right for this Model. For pages; services use `Actor.check`."""
    if not by.may(right, model_id=model_id):
        raise LacksRight(right, model_id=model_id)


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
    """All Models, looked up by name because the kit must not import the catalogue."""
    return apps.get_model("registry.Model")._default_manager.all()
