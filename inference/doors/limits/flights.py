"""Requests in flight in this process: the work that waits here, whose it is, and fair shares when it gets crowded."""

import time
from collections.abc import Callable, Iterable
from functools import partial
from math import ceil

from inference.doors.limits.limited import Limited
from inference.engine.errors import Overloaded
from inference.errors import TooManyRequests
from registry.access.key_ring import Principal

CROWDED_FROM = 0.5  # of the room; below that nobody is in anybody's way


class Costs:
    """How many seconds of this process a request for each Model takes.

    Learned from how long its requests were here and how many of the same Model there were meanwhile: of thirty that
    share a run of 60 ms, each takes 2. What is learned follows low values fast and high ones slowly: a request that came in
    the middle of a crowd of others says too much, and none says too little for long. Not safe between threads.
    """

    FIRST_S = 0.001  # until one has been answered
    LEAST_S = 0.0001
    _UP, _DOWN = 0.02, 0.2
    _MODELS = 10_000

    def __init__(self) -> None:
        self._known: dict[int, float] = {}

    def of(self, model_id: int) -> float:
        return self._known.get(model_id, self.FIRST_S)

    def learn(self, model_id: int, here_s: float, at_once: int) -> None:
        taken_s = max(self.LEAST_S, here_s / at_once)
        known = self._known.get(model_id)
        if known is None:
            if len(self._known) >= self._MODELS:
                self._known.clear()  # learned again in as many requests
            self._known[model_id] = taken_s
        else:
            weight = self._UP if taken_s > known else self._DOWN
            self._known[model_id] = known + weight * (taken_s - known)


class Flights:
    """The work in flight, Model by Model: one that is slow has queues and threads of its own, and fills no other's room.

    Where the processor is what they share, all of them get slower, and so does the work of each count for more. Not safe
    between threads: its owner holds a lock.
    """

    _MODELS = 10_000

    def __init__(
        self,
        *,
        room: float,
        processes: int,
        crowded_from: float = CROWDED_FROM,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`room`: how many seconds of work may wait here for one Model."""
        self._make_room = partial(_Room, room, crowded_from, clock)
        self._processes = processes
        self._rooms: dict[int, _Room] = {}
        self._by_limited: dict[str, int] = {}

    @property
    def count(self) -> int:
        return sum(room.count for room in self._rooms.values())

    def check(self, by: Principal, model_id: int) -> None:
        """Raise when there is no room for another request of this key; note that it asked."""
        room = self._rooms.get(model_id)
        if room is None:
            if len(self._rooms) >= self._MODELS:
                self._rooms = {known: room for known, room in self._rooms.items() if room.count}
            room = self._rooms[model_id] = self._make_room()
        room.check(by)

    def check_own(self, limited: Iterable[Limited]) -> None:
        """Raise when one of them has as many requests in flight as this process may give it."""
        for one in limited:
            limit = one.limits.concurrency
            if limit is not None and self._by_limited.get(one.subject, 0) >= ceil(limit / self._processes):
                raise TooManyRequests(_too_many_at_once(one, limit, self._processes))

    def add(self, by: Principal, model_id: int, work: float) -> int:
        """Count one; return how many of the Model are in flight now."""
        room = self._rooms.get(model_id)
        if room is None:  # it was idle, and there are too many Models to remember
            room = self._rooms[model_id] = self._make_room()
        room.add(by, work)
        return room.count

    def drop(self, by: Principal, model_id: int, work: float) -> int:
        """Count one less; return how many of the Model there were."""
        room = self._rooms[model_id]
        at_once = room.count
        room.drop(by, work)
        return at_once

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


class _Room:
    """What is in flight for one Model, and whose it is."""

    def __init__(self, room: float, crowded_from: float, clock: Callable[[], float]) -> None:
        self._room, self._crowded_at, self._reserve = room, room * crowded_from, room / 8
        self.count = 0
        self._work = 0.0
        self._by_key: dict[int, tuple[int, float]] = {}  # how many are in flight, and their work
        self._asked = Asked(clock)

    def check(self, by: Principal) -> None:
        self._asked.note(by.key_id)
        if self._work >= self._crowded_at:
            self._check_share(by)
            if self._work >= self._room:
                raise self._full()

    def add(self, by: Principal, work: float) -> None:
        self.count += 1
        self._work += work
        count, held = self._by_key.get(by.key_id, (0, 0.0))
        self._by_key[by.key_id] = count + 1, held + work

    def drop(self, by: Principal, work: float) -> None:
        self.count -= 1
        self._work = self._work - work if self.count else 0.0  # no rounding is kept
        count, held = self._by_key.pop(by.key_id)
        if count > 1:
            self._by_key[by.key_id] = count - 1, held - work

    def _check_share(self, by: Principal) -> None:
        """Raise when a key has its share already, and asks more than others or would take the last of the room.

        Alone, it may have all but a reserve: whoever comes next finds room before anything is divided. A key that has
        nothing in flight has room as long as there is any.
        """
        keys = self._asked.keys
        count, held = self._by_key.get(by.key_id, (0, 0.0))
        room_but_reserve = self._room - self._reserve
        if keys == 1 and held >= room_but_reserve:
            raise self._full()
        if keys == 1 or not count or held < self._room / keys:
            return
        if self._work >= room_but_reserve or self._asked.asks_most(by.key_id):
            raise TooManyRequests(
                f"The key {by.name!r} has {count} requests in flight while {keys} keys are active, and no claim to more. "
                "Wait for an answer before you send the next."
            )

    def _full(self) -> Overloaded:
        return Overloaded(
            f"{self.count} requests for this Model wait in this process, {self._work:.1f} s of work. Send again in a second."
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
