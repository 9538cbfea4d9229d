"""Admission: every request for a prediction passes through here, whichever door it came through."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from django.conf import settings

from inference.doors.limits.counters import Refiller, SharedCounter, shared_counter
from inference.doors.limits.flights import CROWDED_FROM, Costs, Flights
from inference.doors.limits.rates import LimitSubject, Minutes, Tokens, limit_subjects, rate_spent
from inference.errors import LimitsUnavailable, TooManyRequests
from inference.serving.calls import DEADLINE_S
from inference.serving.off_loop import off_loop
from inference.serving.routes import Route
from registry.access.key_ring import Principal

# Seconds of work that may wait for each Model. More would be answered too late for callers with the default deadline.
ROOM_S = 0.5 * DEADLINE_S


class Flight:
    """One admitted request. Its work counts from `begin` on; always call `end` exactly once."""

    __slots__ = ("_admission", "_at_once", "_began_at", "_by", "_route", "_subjects", "_work")

    def __init__(
        self, admission: "Admission", by: Principal, route: Route, subjects: tuple[LimitSubject, ...]
    ) -> None:
        self._admission, self._by, self._route, self._subjects = admission, by, route, subjects
        self._at_once = 0

    def begin(self) -> None:
        """Call this once the whole request has been received."""
        admission, model_id = self._admission, self._route.model_id
        self._began_at = admission.steady()
        with admission.lock:
            self._work = admission.costs.of(model_id)
            self._at_once = admission.flights.add(self._by, model_id, self._work)

    def end(self) -> None:
        admission = self._admission
        if not self._at_once:
            if self._subjects:
                with admission.lock:
                    admission.flights.drop_own(self._subjects)
            return
        took_s = admission.steady() - self._began_at
        with admission.lock:
            at_once = admission.flights.drop(self._by, self._route.model_id, self._work)
            if self._subjects:
                admission.flights.drop_own(self._subjects)
            admission.costs.learn(self._route.model_id, took_s, max(at_once, self._at_once))


class Admission:
    """Admits requests, and counts them until they end. One lock guards everything that it counts."""

    def __init__(
        self,
        *,
        room: float,
        processes: int,
        crowded_from: float = CROWDED_FROM,
        costs: Costs | None = None,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self.lock = threading.Lock()
        self.steady = steady
        self.costs = costs or Costs()
        self.flights = Flights(room=room, processes=processes, crowded_from=crowded_from, clock=steady)
        self._minutes = Minutes(wall=wall, steady=steady)
        self._tokens = Tokens(processes=processes, minutes=self._minutes, lock=self.lock)
        self._counter: SharedCounter | None = None
        self._refiller: Refiller | None = None

    def start(self, counter: SharedCounter | None = None) -> None:
        """Share rates with other processes; until then, this process allows its equal part of each rate."""
        self._counter = counter or shared_counter()
        self._refiller = Refiller(self._tokens, self._counter)
        self._refiller.start()

    def stop(self) -> None:
        if self._refiller is not None:
            self._refiller.stop()
        self._refiller = self._counter = None

    async def enter(self, by: Principal, route: Route) -> Flight:
        """Admit a request, or raise TooManyRequests, Overloaded or LimitsUnavailable.

        First check, in this order, 1. rates that are counted in memory, 2. limits of requests in flight, 3. room and fair
        shares. Then count. 4. Strict rates come last, so that a request that is refused anyway costs no call to the
        shared counter.
        """
        subjects = limit_subjects(by, route)
        if not subjects:
            with self.lock:
                self.flights.check(by, route.model_id)
            return Flight(self, by, route, ())
        counter = self._counter
        strict = [subject for subject in subjects if subject.is_exact] if counter else []
        rated = [
            subject
            for subject in subjects
            if subject.limits.rate_per_minute is not None and subject not in strict
        ]
        with self.lock:
            for subject in rated:
                self._tokens.check(subject)
            self.flights.check_own(subjects)
            self.flights.check(by, route.model_id)
            for subject in rated:
                self._tokens.spend(subject)
            self.flights.add_own(subjects)
        flight = Flight(self, by, route, subjects)
        if counter and strict:
            try:
                await off_loop(partial(self._take_strictly, counter, strict))
            except BaseException:
                self._withdraw(flight, rated)
                raise
        return flight

    def _take_strictly(self, counter: SharedCounter, strict: list[LimitSubject]) -> None:
        with self.lock:
            minute, left_s = self._minutes.now(), self._minutes.left_s()
        take_all(counter, strict, minute, left_s)

    def _withdraw(self, flight: Flight, rated: list[LimitSubject]) -> None:
        """Undo everything that `enter` counted."""
        flight.end()
        with self.lock:
            for subject in rated:
                self._tokens.give_back(subject)


def take_all(counter: SharedCounter, strict: Sequence[LimitSubject], minute: int, left_s: int) -> None:
    """Take a token from each or from none; raises TooManyRequests, or LimitsUnavailable if the counter is not responding."""
    taken: list[LimitSubject] = []
    try:
        for subject in strict:
            if not counter.take(subject.counter_key, minute, 1, subject.rate):
                raise rate_spent(subject, left_s)
            taken.append(subject)
    except (TooManyRequests, LimitsUnavailable):
        with suppress(LimitsUnavailable):  # then a token is lost: one request fewer in this minute
            for subject in taken:
                counter.give_back(subject.counter_key, minute, 1)
        raise


admission = Admission(room=ROOM_S, processes=settings.WEB_PROCESSES)
