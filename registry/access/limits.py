"""Limits of keys, tenants and Models."""

from dataclasses import dataclass
from typing import Any

MAX_RATE_PER_MINUTE = 10_000_000
MAX_CONCURRENCY = 10_000


@dataclass(frozen=True, slots=True)
class CallerLimits:
    """Limits of a key, a tenant or a Model; None: no limit is set here."""

    rate_per_minute: int | None = None
    concurrency: int | None = None
    is_exact: bool = False  # strict: every request checks the shared counter; otherwise each process spends blocks of tokens

    def __str__(self) -> str:
        strict = " (strict)" if self.is_exact else ""
        rate = [] if self.rate_per_minute is None else [f"{self.rate_per_minute:,} a minute{strict}"]
        at_once = [] if self.concurrency is None else [f"{self.concurrency:,} at once"]
        return ", ".join(rate + at_once) or "none"

    def columns(self) -> dict[str, Any]:
        """Return the limits by database column name; audit records use the same names."""
        return {
            "rate_per_minute": self.rate_per_minute,
            "concurrency": self.concurrency,
            "exact_rate": self.is_exact,
        }


NO_LIMITS = CallerLimits()
LIMIT_COLUMNS = tuple(NO_LIMITS.columns())
