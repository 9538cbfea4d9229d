"""Requests in flight in this process: the room they have, whose they are, and fair shares when it gets crowded."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from math import ceil

from inference.doors.limits.limited import Limited
from inference.engine.errors import Overloaded
from inference.errors import TooManyRequests
from registry.access.key_ring import Principal

ACTIVE_S = 2.0  # a key that asked this lately has a claim to its share
CROWDED_FROM = 0.75  # of the room; below that nobody is in anybody's way
MOST_KEYS = 10_000


class Flights:
    """Counts of what is in flight. Not safe between threads: its owner holds a lock."""

    def __init__(
        self,
        *,
        room: int,
        processes: int,
        crowded_from: float = CROWDED_FROM,
        most_keys: int = MOST_KEYS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._room, self._processes, self._most_keys, self._clock = room, processes, most_keys, clock
        self._crowded_at = ceil(room * crowded_from)
        self._reserve = min(room - 1, ceil(room / 8))
        self._count = 0
        self._by_key: dict[int, int] = {}
        self._by_limited: dict[str, int] = {}
        self._seen_at: OrderedDict[int, float] = OrderedDict()  # by key, the longest silent first

    def check(self, by: Principal) -> None:
        """Raise when there is no room for another request of this key; note that it asked."""
        key_id, seen_at = by.key_id, self._seen_at
        seen_at[key_id] = self._clock()
        seen_at.move_to_end(key_id)
        if len(seen_at) > self._most_keys:
            seen_at.popitem(last=False)
        if self._count >= self._crowded_at:
            self._check_share(by)
            if self._count >= self._room:
                raise self._full()

    def check_own(self, limited: Iterable[Limited]) -> None:
        """Raise when one of them has as many requests in flight as this process may give it."""
        for one in limited:
            limit = one.limits.concurrency
            if limit is not None and self._by_limited.get(one.subject, 0) >= ceil(limit / self._processes):
                raise TooManyRequests(_too_many_at_once(one, limit, self._processes))

    def add(self, by: Principal) -> None:
        key_id, by_key = by.key_id, self._by_key
        self._count += 1
        by_key[key_id] = by_key.get(key_id, 0) + 1

    def drop(self, by: Principal) -> None:
        key_id, by_key = by.key_id, self._by_key
        self._count -= 1
        left = by_key[key_id] - 1
        if left:
            by_key[key_id] = left
        else:
            del by_key[key_id]

    def add_own(self, limited: Iterable[Limited]) -> None:
        for one in limited:
            if one.limits.concurrency is not None:
                self._by_limited[one.subject] = self._by_limited.get(one.subject, 0) + 1

    def drop_own(self, limited: Iterable[Limited]) -> None:
        for one in limited:
            if one.limits.concurrency is not None:
                left = self._by_limited.pop(one.subject) - 1
                if left:
                    self._by_limited[one.subject] = left

    def _check_share(self, by: Principal) -> None:
        """Raise when a key has its share already while others want theirs.

        Alone, it may have all but a reserve: whoever comes next has a place before anything is divided.
        """
        keys = self._active_keys()
        held = self._by_key.get(by.key_id, 0)
        if keys == 1 and held >= self._room - self._reserve:
            raise self._full()
        if keys > 1 and held >= max(1, self._room // keys):
            raise TooManyRequests(
                f"The key {by.name!r} has {held} requests in flight, its share while {keys} keys are active. "
                "Wait for an answer before you send the next."
            )

    def _full(self) -> Overloaded:
        return Overloaded(
            f"This process answers {self._room} requests at once, and does now. Send again in a second."
        )

    def _active_keys(self) -> int:
        since = self._clock() - ACTIVE_S
        while self._seen_at and next(iter(self._seen_at.values())) < since:
            self._seen_at.popitem(last=False)
        return len(self._seen_at)


def _too_many_at_once(one: Limited, limit: int, processes: int) -> str:
    return (
        f"{one} may have {limit} requests in flight, spread over {processes} processes, and this one has its part. "
        "Wait for an answer before you send the next."
    )
