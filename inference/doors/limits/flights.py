"""Requests in flight in this process: the room they have, whose they are, and fair shares when it gets crowded."""

import time
from collections.abc import Callable, Iterable
from math import ceil

from inference.doors.limits.limited import Limited
from inference.engine.errors import Overloaded
from inference.errors import TooManyRequests
from registry.access.key_ring import Principal

CROWDED_FROM = 0.5  # of the room; below that nobody is in anybody's way


class Flights:
    """Counts of what is in flight. Not safe between threads: its owner holds a lock."""

    def __init__(
        self,
        *,
        room: int,
        processes: int,
        crowded_from: float = CROWDED_FROM,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._room, self._processes = room, processes
        self._crowded_at = ceil(room * crowded_from)
        self._reserve = min(room - 1, ceil(room / 8))
        self._count = 0
        self._by_key: dict[int, int] = {}
        self._by_limited: dict[str, int] = {}
        self._asked = Asked(clock)

    def check(self, by: Principal) -> None:
        """Raise when there is no room for another request of this key; note that it asked."""
        self._asked.note(by.key_id)
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
        """Raise when a key has its share already, and asks more than others or would take the last places.

        Alone, it may have all but a reserve: whoever comes next has a place before anything is divided.
        """
        keys = self._asked.keys
        held = self._by_key.get(by.key_id, 0)
        room_but_reserve = self._room - self._reserve
        if keys == 1 and held >= room_but_reserve:
            raise self._full()
        if keys == 1 or held < max(1, self._room // keys):
            return
        if self._count >= room_but_reserve or self._asked.asks_most(by.key_id):
            raise TooManyRequests(
                f"The key {by.name!r} has {held} requests in flight while {keys} keys are active, and no claim to more. "
                "Wait for an answer before you send the next."
            )

    def _full(self) -> Overloaded:
        return Overloaded(
            f"This process answers {self._room} requests at once, and does now. Send again in a second."
        )


class Asked:
    """How often each key asked lately, admitted or not: in this window of time and the one before."""

    WINDOW_S = 2.0

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._now: dict[int, int] = {}
        self._before: dict[int, int] = {}
        self._ends_at = clock() + self.WINDOW_S
        self._times = 0
        self.keys = 0

    def note(self, key_id: int) -> None:
        if self._clock() >= self._ends_at:
            self._turn()
        times = self._now.get(key_id, 0)
        self.keys += not times and key_id not in self._before
        self._now[key_id] = times + 1
        self._times += 1

    def asks_most(self, key_id: int) -> bool:
        """Whether this key asks no less often than keys do on average."""
        return (self._now.get(key_id, 0) + self._before.get(key_id, 0)) * self.keys >= self._times

    def _turn(self) -> None:
        is_next = self._clock() < self._ends_at + self.WINDOW_S
        self._before = self._now if is_next else {}
        self._now = {}
        self._ends_at = self._clock() + self.WINDOW_S
        self._times, self.keys = sum(self._before.values()), len(self._before)


def _too_many_at_once(one: Limited, limit: int, processes: int) -> str:
    return (
        f"{one} may have {limit} requests in flight, spread over {processes} processes, and this one has its part. "
        "Wait for an answer before you send the next."
    )
