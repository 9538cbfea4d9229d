"""Those whose limits a request must keep: its key, the key's tenant, and the Model."""

from typing import NamedTuple

from inference.errors import TooManyRequests
from inference.serving.routes import Route
from registry.access.key_ring import Principal
from registry.access.limits import NO_LIMITS, CallerLimits


class Limited(NamedTuple):
    """One that has limits of its own, by a name that the caller knows."""

    kind: str
    id: int
    name: str
    limits: CallerLimits

    @property
    def subject(self) -> str:
        """The name of its counter."""
        return f"{self.kind}:{self.id}"

    @property
    def rate(self) -> int:
        return self.limits.rate_per_minute or 0

    @property
    def is_exact(self) -> bool:
        return self.limits.is_exact and self.limits.rate_per_minute is not None

    def __str__(self) -> str:
        return f"The {self.kind} {self.name!r}"


def limited_by(by: Principal, route: Route) -> tuple[Limited, ...]:
    """Name who has limits; nobody, for most requests, and that must cost next to nothing."""
    key, tenant, model = by.limits, by.tenant_limits, route.limits
    if (
        key.rate_per_minute is None
        and key.concurrency is None
        and tenant.rate_per_minute is None
        and tenant.concurrency is None
        and model.rate_per_minute is None
        and model.concurrency is None
    ):
        return ()
    everybody = (
        Limited("key", by.key_id, by.name, key),
        Limited("tenant", by.tenant_id, by.tenant, tenant),
        Limited("Model", route.model_id, route.slug, model),
    )
    return tuple(one for one in everybody if one.limits != NO_LIMITS)


def rate_spent(one: Limited, left_s: int) -> TooManyRequests:
    return TooManyRequests(
        f"{one} has used all {one.rate:,} requests of this minute. "
        f"Send again in {left_s} s, or ask an administrator for a higher limit.",
        retry_after_s=left_s,
    )
