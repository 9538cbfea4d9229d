"""Whose limits apply to a request: its key's, its tenant's, and the Model's."""

from typing import NamedTuple

from inference.errors import TooManyRequests
from inference.serving.routes import Route
from registry.access.key_ring import Principal
from registry.access.limits import NO_LIMITS, Limits


class LimitSubject(NamedTuple):
    """A key, tenant or Model with limits, under the name that the caller knows."""

    kind: str
    id: int
    name: str
    limits: Limits

    @property
    def counter_key(self) -> str:
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


def limit_subjects(by: Principal, route: Route) -> tuple[LimitSubject, ...]:
    """Those with limits; usually none, which must cost next to nothing."""
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
    subjects = (
        LimitSubject("key", by.key_id, by.name, key),
        LimitSubject("tenant", by.tenant_id, by.tenant, tenant),
        LimitSubject("Model", route.model_id, route.slug, model),
    )
    return tuple(subject for subject in subjects if subject.limits != NO_LIMITS)


def rate_spent(subject: LimitSubject, left_s: int) -> TooManyRequests:
    return TooManyRequests(
        f"{subject} has used all {subject.rate:,} requests of this minute. "
        f"Send again in {left_s} s, or ask an administrator for a higher limit.",
        retry_after_s=left_s,
    )
