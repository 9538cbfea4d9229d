"""Who acts: a person, a key, a command or a task, with the rights that were theirs when they came in."""

from dataclasses import dataclass, field
from enum import StrEnum

from registry.errors import NotAllowed


class Source(StrEnum):
    """Through which door a change came."""

    ADMIN = "admin"
    API = "api"
    COMMAND = "command"
    TASK = "task"


@dataclass(frozen=True, slots=True)
class Actor:
    """Handed to every service as `by`. Rights are fixed at the door; services only ask."""

    name: str
    source: Source
    rights: frozenset[str] = frozenset()
    models: frozenset[int] | None = None  # None: all Models
    user_id: int | None = None
    key_id: int | None = None
    tenant_id: int | None = None
    request_id: str = field(default="", compare=False)

    def may(self, right: str, *, model_id: int | None = None) -> bool:
        """Whether the right is held, and for this Model where one is meant."""
        in_scope = self.models is None or (model_id is not None and model_id in self.models)
        return right in self.rights and in_scope

    def check(self, right: str, *, model_id: int | None = None) -> None:
        if not self.may(right, model_id=model_id):
            raise NotAllowed(
                f"{self.name} lacks the right to {right.replace('_', ' ')}{' here' if model_id else ''}."
            )
