"""Checks of values for the access tables, from any API, form or command."""

from collections.abc import Iterable
from datetime import datetime

from django.core.exceptions import ValidationError
from django.utils import timezone

from registry.access.limits import MAX_CONCURRENCY, MAX_RATE_PER_MINUTE, CallerLimits
from registry.access.models import TENANT_SLUG
from registry.access.policies import key_scopes
from registry.errors import Invalid


def checked_tenant_slug(slug: str) -> str:
    try:
        TENANT_SLUG(slug)
    except ValidationError as error:
        raise Invalid(f"{slug!r} is not a valid tenant name. {error.message}") from None
    return slug


def checked_scopes(scopes: Iterable[str]) -> list[str]:
    """Return the scopes in their usual order, each once; a key needs at least one."""
    chosen, known = set(scopes), key_scopes()
    unknown = sorted(chosen - known.keys())
    if unknown or not chosen:
        problem = f"There is no scope {unknown[0]!r}" if unknown else "A key needs at least one scope"
        raise Invalid(f"{problem}; the scopes are {', '.join(known)}.")
    return [scope for scope in known if scope in chosen]


def checked_expiry(expires_at: datetime | None) -> datetime | None:
    if expires_at is not None and expires_at <= timezone.now():
        raise Invalid("The expiry is in the past; choose a later time, or no expiry.")
    return expires_at


def checked_limits(limits: CallerLimits) -> CallerLimits:
    if limits.rate_per_minute is not None and not 1 <= limits.rate_per_minute <= MAX_RATE_PER_MINUTE:
        raise Invalid(
            f"The rate must be 1 to {MAX_RATE_PER_MINUTE:,} requests a minute, or none for no limit."
        )
    if limits.concurrency is not None and not 1 <= limits.concurrency <= MAX_CONCURRENCY:
        raise Invalid(
            f"The number of concurrent requests must be 1 to {MAX_CONCURRENCY:,}, or none for no limit."
        )
    if limits.is_exact and limits.rate_per_minute is None:
        raise Invalid("A strict limit needs a rate; enter one.")
    return limits
