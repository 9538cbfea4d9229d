"""Which arm answers a routing key: pure functions, documented in docs/routing.md."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

WHOLE = 10_000  # buckets, or basis points: an arm's share is the number of buckets it owns

_RUN = re.compile(r"(.)\1*")
Owner = TypeVar("Owner")


def bucket_of(salt: str, key: str) -> int:
    """The bucket of a key; it does not depend on the shares."""
    digest = hashlib.sha256(f"{salt}:{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % WHOLE


def key_text(value: object) -> str | None:
    """Convert a request field to a routing key: a string as it is, an integer in decimal digits, else None."""
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def header_text(value: str) -> str:
    """Decode a header's bytes as UTF-8, because servers always decode headers as Latin-1."""
    return value.encode("latin-1", "replace").decode("utf-8", "replace")


def reallot(owners: Sequence[Owner], shares: Mapping[Owner, int]) -> list[Owner]:
    """Give every bucket an owner so that the shares are met and as few buckets as possible change owner.

    Each arm keeps its first buckets, up to its new share; freed buckets go, in order, to the arms that need more, in
    the order of `shares`. So only a shrinking arm loses keys, and only a growing one gains them. `owners` are the
    current owners, empty at first.
    """
    needed = dict(shares)
    current: Sequence[Owner | None] = owners or [None] * WHOLE
    kept: list[Owner | None] = []
    for owner in current:
        if owner is not None and needed.get(owner, 0) > 0:
            needed[owner] -= 1
            kept.append(owner)
        else:
            kept.append(None)
    new_owners = (owner for owner, count in needed.items() for _ in range(count))
    return [next(new_owners) if owner is None else owner for owner in kept]


def ranges(buckets: str) -> list[tuple[str, int, int]]:
    """Runs of neighbouring buckets with the same letter, as (letter, first, one past the last)."""
    return [(run[1], run.start(), run.end()) for run in _RUN.finditer(buckets)]
