"""What a caller or a Model may take of the service."""

from dataclasses import dataclass
from typing import Any

MAX_RATE_PER_MINUTE = 10_000_000
MAX_CONCURRENCY = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a key, a tenant or a Model; None: it has none of its own."""

    rate_per_minute: int | None = None
    concurrency: int | None = None
    is_exact: bool = False  # every request asks the shared counter; else each process spends blocks of tokens

    def __str__(self) -> str:
        exactly = " exactly" if self.is_exact else ""
        rate = [] if self.rate_per_minute is None else [f"{self.rate_per_minute:,} a minute{exactly}"]
        at_once = [] if self.concurrency is None else [f"{self.concurrency:,} at once"]
        return ", ".join(rate + at_once) or "none"

    def columns(self) -> dict[str, Any]:
        """Spell them as rows and audit records do."""
        return {
            "rate_per_minute": self.rate_per_minute,
            "concurrency": self.concurrency,
            "exact_rate": self.is_exact,
        }


NO_LIMITS = Limits()
LIMIT_COLUMNS = tuple(NO_LIMITS.columns())
