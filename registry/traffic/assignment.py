"""Which arm answers a routing key: pure functions, published in docs/routing.md."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

WHOLE = 10_000  # buckets, and basis points: an arm's share is the number of buckets it owns

_RUN = re.compile(r"(.)\1*")
Owner = TypeVar("Owner")


def bucket_of(salt: str, key: str) -> int:
    """The bucket of a key: the same for ever, whatever the shares are."""
    digest = hashlib.sha256(f"{salt}:{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % WHOLE


def key_text(value: object) -> str | None:
    """A request field as a routing key: a text as it is, a whole number in decimal digits, nothing else."""
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def header_text(value: str) -> str:
    """A header's bytes as UTF-8: servers hand headers over as Latin-1 whatever was sent."""
    return value.encode("latin-1", "replace").decode("utf-8", "replace")


def reallot(owners: Sequence[Owner], shares: Mapping[Owner, int]) -> list[Owner]:
    """Give every bucket an owner so that the shares hold and as few buckets as possible change hands.

    Each arm keeps its first buckets, as many as it still may have; what is freed goes, in the order of
    the buckets, to the arms that lack some, in the order of `shares`. So only a shrinking arm loses keys, and only
    a growing one gains them. `owners` is the present state, empty at first.
    """
    lacking = dict(shares)
    present: Sequence[Owner | None] = owners or [None] * WHOLE
    kept: list[Owner | None] = []
    for owner in present:
        if owner is not None and lacking.get(owner, 0) > 0:
            lacking[owner] -= 1
            kept.append(owner)
        else:
            kept.append(None)
    heirs = _each(lacking)
    return [next(heirs) if owner is None else owner for owner in kept]


def ranges(buckets: str) -> list[tuple[str, int, int]]:
    """Sum neighbouring buckets of one letter up, as (letter, first, one past the last)."""
    return [(run[1], run.start(), run.end()) for run in _RUN.finditer(buckets)]


def _each(counts: Mapping[Owner, int]) -> Iterator[Owner]:
    for owner, count in counts.items():
        yield from [owner] * count
