"""What a caller or a Model may take of the service."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a key, a tenant or a Model; None: it has none of its own."""

    rate_per_minute: int | None = None
    concurrency: int | None = None
    is_exact: bool = False  # every request asks the shared counter; else each process spends blocks of tokens


NO_LIMITS = Limits()
