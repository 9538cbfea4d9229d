"""Exact rates: every request asks the shared counter, and nothing passes uncounted."""

from collections.abc import Sequence
from contextlib import suppress

from inference.doors.limits.limited import Limited, rate_spent
from inference.doors.limits.stores import Store
from inference.errors import LimitsUnavailable, TooManyRequests


def take_all(store: Store, exact: Sequence[Limited], minute: int, left_s: int) -> None:
    """Take a token from each or from none; raise TooManyRequests, or LimitsUnavailable when nobody can tell."""
    taken: list[Limited] = []
    try:
        for one in exact:
            if not store.take(one.subject, minute, 1, one.rate):
                raise rate_spent(one, left_s)
            taken.append(one)
    except (TooManyRequests, LimitsUnavailable):
        with suppress(LimitsUnavailable):  # the token is lost then: one request fewer in this minute
            for one in taken:
                store.give_back(one.subject, minute, 1)
        raise
