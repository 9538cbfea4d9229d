"""Requests in flight in this process: how much work waits, whose it is, and fair shares when it gets crowded."""

import time
from collections.abc import Callable, Iterable
from functools import partial
from math import ceil

from inference.doors.limits.rates import LimitSubject
from inference.engine.errors import Overloaded
from inference.errors import TooManyRequests
from registry.access.key_ring import Principal

CROWDED_FROM = 0.5  # of the room; below that, callers do not compete


class Costs:
    """How many seconds of this process's time a request costs, by Model.

    Learned from how long requests took and how many of the same Model were in flight: if thirty share a run
    of 60 ms, each costs 2 ms. Estimates follow low values fast and high ones slowly, because a request among many others
    overstates its cost. Not thread-safe.
    """

    FIRST_S = 0.001  # until a request has been answered
    LEAST_S = 0.0001
    _UP, _DOWN = 0.02, 0.2
    _MODELS = 10_000

    def __init__(self) -> None:
        self._known: dict[int, float] = {}

    def of(self, model_id: int) -> float:
        return self._known.get(model_id, self.FIRST_S)

    def learn(self, model_id: int, took_s: float, at_once: int) -> None:
        cost_s = max(self.LEAST_S, took_s / at_once)
        known = self._known.get(model_id)
        if known is None:
            if len(self._known) >= self._MODELS:
                self._known.clear()  # they are soon learned again
            self._known[model_id] = cost_s
        else:
            weight = self._UP if cost_s > known else self._DOWN
            self._known[model_id] = known + weight * (cost_s - known)


class Flights:
    """The work in flight, Model by Model: a slow Model has its own queues and threads, and does not fill another's room.

    When Models compete for the CPU, all get slower, and so the cost of each grows. Not thread-safe: the owner holds a lock.
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
        """`room`: how many seconds of work may wait for one Model."""
        self._make_room = partial(_Room, room, crowded_from, clock)
        self._processes = processes
        self._rooms: dict[int, _Room] = {}
        self._by_subject: dict[str, int] = {}

    @property
    def count(self) -> int:
        return sum(room.count for room in self._rooms.values())

    def check(self, by: Principal, model_id: int) -> None:
        """Count an attempt by this key; raise if there is no room for the request."""
        room = self._rooms.get(model_id)
        if room is None:
            if len(self._rooms) >= self._MODELS:
                self._rooms = {known: room for known, room in self._rooms.items() if room.count}
            room = self._rooms[model_id] = self._make_room()
        room.check(by)

    def check_own(self, subjects: Iterable[LimitSubject]) -> None:
        """Raise if one of them has reached its limit of requests in flight in this process."""
        for subject in subjects:
            limit = subject.limits.concurrency
            if limit is not None and self._by_subject.get(subject.counter_key, 0) >= ceil(
                limit / self._processes
            ):
                raise TooManyRequests(_too_many_at_once(subject, limit, self._processes))

    def add(self, by: Principal, model_id: int, work: float) -> int:
        """Add a request; return how many of the Model's requests are in flight now."""
        room = self._rooms.get(model_id)
        if room is None:  # it was idle, and was dropped because there are too many Models
            room = self._rooms[model_id] = self._make_room()
        room.add(by, work)
        return room.count

    def drop(self, by: Principal, model_id: int, work: float) -> int:
        """Remove a request; return how many of the Model's requests were in flight."""
        room = self._rooms[model_id]
        at_once = room.count
        room.drop(by, work)
        return at_once

    def add_own(self, subjects: Iterable[LimitSubject]) -> None:
        for subject in subjects:
            if subject.limits.concurrency is not None:
                self._by_subject[subject.counter_key] = self._by_subject.get(subject.counter_key, 0) + 1

    def drop_own(self, subjects: Iterable[LimitSubject]) -> None:
        for subject in subjects:
            if subject.limits.concurrency is not None:
                left = self._by_subject.pop(subject.counter_key) - 1
                if left:
                    self._by_subject[subject.counter_key] = left


class _Room:
    """What is in flight for one Model, and whose it is."""

    def __init__(self, room: float, crowded_from: float, clock: Callable[[], float]) -> None:
        self._room, self._crowded_at, self._reserve = room, room * crowded_from, room / 8
        self.count = 0
        self._work = 0.0
        self._by_key: dict[int, tuple[int, float]] = {}  # how many are in flight, and their work
        self._recent = RecentRequests(clock)

    def check(self, by: Principal) -> None:
        self._recent.note(by.key_id)
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
        self._work = self._work - work if self.count else 0.0  # drops rounding errors
        count, held = self._by_key.pop(by.key_id)
        if count > 1:
            self._by_key[by.key_id] = count - 1, held - work

    def _check_share(self, by: Principal) -> None:
        """Raise if a key has its share already, and sends more than others or would take the last of the room.

        A single key may use all but a reserve, so that the next one finds room immediately. A key with nothing in flight gets
        room as long as there is any.
        """
        keys = self._recent.keys
        count, held = self._by_key.get(by.key_id, (0, 0.0))
        room_but_reserve = self._room - self._reserve
        if keys == 1 and held >= room_but_reserve:
            raise self._full()
        if keys == 1 or not count or held < self._room / keys:
            return
        if self._work >= room_but_reserve or self._recent.is_above_average(by.key_id):
            raise TooManyRequests(
                f"The key {by.name!r} has {count} requests in flight, its fair share while {keys} keys are active. "
                "Wait for an answer before you send the next."
            )

    def _full(self) -> Overloaded:
        return Overloaded(
            f"{self.count} requests for this Model are waiting here: {self._work:.1f} s of work. Try again in a second."
        )


class RecentRequests:
    """How many requests each key sent recently, admitted or not: in this window of time and the one before."""

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
            self._next_window()
        times = self._now.get(key_id, 0)
        self.keys += not times and key_id not in self._before
        self._now[key_id] = times + 1
        self._times += 1

    def is_above_average(self, key_id: int) -> bool:
        """Whether this key sends at least as many requests as the average key."""
        return (self._now.get(key_id, 0) + self._before.get(key_id, 0)) * self.keys >= self._times

    def _next_window(self) -> None:
        is_next = self._clock() < self._ends_at + self.WINDOW_S
        self._before = self._now if is_next else {}
        self._now = {}
        self._ends_at = self._clock() + self.WINDOW_S
        self._times, self.keys = sum(self._before.values()), len(self._before)


def _too_many_at_once(subject: LimitSubject, limit: int, processes: int) -> str:
    return (
        f"{subject} may have {limit} requests in flight across {processes} processes; this one has reached its share. "
        "Wait for an answer before you send the next."
    )
