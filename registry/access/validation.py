"""What may be written into access's columns, whichever door it came through."""

import unicodedata
from collections.abc import Iterable
from datetime import datetime

from django.core.exceptions import ValidationError
from django.utils import timezone

from registry.access.limits import MAX_CONCURRENCY, MAX_RATE_PER_MINUTE, Limits
from registry.access.models import TENANT_SLUG, KeyScope
from registry.errors import Invalid

# Control characters forge log lines; direction marks make one name look like another.
_UNSHOWN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def checked_line(text: str, *, what: str, longest: int, may_be_empty: bool = False) -> str:
    """Return a text for people, of one line, without what cannot be seen."""
    text = text.strip()
    if not text and not may_be_empty:
        raise Invalid(f"Give a {what}.")
    if len(text) > longest:
        raise Invalid(f"The {what} has {len(text)} characters; at most {longest} are kept.")
    if any(unicodedata.category(character) in _UNSHOWN for character in text):
        raise Invalid(f"The {what} holds characters that nobody can see; remove them.")
    return text


def checked_tenant_slug(slug: str) -> str:
    try:
        TENANT_SLUG(slug)
    except ValidationError as error:
        raise Invalid(f"{slug!r} cannot name a tenant. {error.message}") from None
    return slug


def checked_scopes(scopes: Iterable[str]) -> list[str]:
    """Return the scopes in their usual order, each once; a key without any would be good for nothing."""
    given = set(scopes)
    unknown = sorted(given - set(KeyScope.values))
    if unknown or not given:
        wrong = f"There is no scope {unknown[0]!r}" if unknown else "A key needs at least one scope"
        raise Invalid(f"{wrong}; the scopes are {', '.join(KeyScope.values)}.")
    return [scope for scope in KeyScope.values if scope in given]


def checked_expiry(expires_at: datetime | None) -> datetime | None:
    if expires_at is not None and expires_at <= timezone.now():
        raise Invalid("The expiry lies in the past; choose a later time, or none.")
    return expires_at


def checked_limits(limits: Limits) -> Limits:
    if limits.rate_per_minute is not None and not 1 <= limits.rate_per_minute <= MAX_RATE_PER_MINUTE:
        raise Invalid(f"A rate is 1 to {MAX_RATE_PER_MINUTE:,} requests a minute, or none.")
    if limits.concurrency is not None and not 1 <= limits.concurrency <= MAX_CONCURRENCY:
        raise Invalid(f"1 to {MAX_CONCURRENCY:,} requests may run at the same time, or any number: none.")
    if limits.is_exact and limits.rate_per_minute is None:
        raise Invalid("Counting exactly needs a rate to count against; give one.")
    return limits
