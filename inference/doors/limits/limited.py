"""Those whose limits a request must keep: its key, the key's tenant, and the Model."""

from typing import NamedTuple

from inference.serving.routes import Route
from registry.access.key_ring import Principal
from registry.access.limits import Limits


class Limited(NamedTuple):
    """One whose limits count, by a name that the caller knows."""

    kind: str
    id: int
    name: str
    limits: Limits

    @property
    def subject(self) -> str:
        """The name of its counter."""
        return f"{self.kind}:{self.id}"

    def __str__(self) -> str:
        return f"the {self.kind} {self.name!r}"


def limited_by(by: Principal, route: Route) -> tuple[Limited, Limited, Limited]:
    return (
        Limited("key", by.key_id, by.name, by.limits),
        Limited("tenant", by.tenant_id, by.tenant, by.tenant_limits),
        Limited("Model", route.model_id, route.slug, route.limits),
    )
