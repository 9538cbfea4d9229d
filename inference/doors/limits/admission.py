"""The gate that every request for a prediction passes: this process's, for all doors."""

import threading
import time
from collections.abc import Callable
from functools import partial

from django.conf import settings

from inference.doors.limits.exact import take_all
from inference.doors.limits.flights import CROWDED_FROM, Costs, Flights
from inference.doors.limits.limited import Limited, limited_by
from inference.doors.limits.minutes import Minutes
from inference.doors.limits.refill import Refiller
from inference.doors.limits.stores import Store, chosen_store
from inference.doors.limits.tokens import Tokens
from inference.serving.calls import DEADLINE_S
from inference.serving.off_loop import off_loop
from inference.serving.routes import Route
from registry.access.key_ring import Principal

# For each Model. What waits here longer would be answered too late for callers who say nothing of a deadline.
ROOM_S = 0.5 * DEADLINE_S


class Flight:
    """One request that was let in. From `begin` on its work counts; `end` it in any case, once."""

    __slots__ = ("_at_once", "_began_at", "_by", "_gate", "_limited", "_route", "_work")

    def __init__(self, gate: "Gate", by: Principal, route: Route, limited: tuple[Limited, ...]) -> None:
        self._gate, self._by, self._route, self._limited = gate, by, route, limited
        self._at_once = 0

    def begin(self) -> None:
        """All of it has been received."""
        gate, model_id = self._gate, self._route.model_id
        self._began_at = gate.steady()
        with gate.lock:
            self._work = gate.costs.of(model_id)
            self._at_once = gate.flights.add(self._by, model_id, self._work)

    def end(self) -> None:
        gate = self._gate
        if not self._at_once:
            if self._limited:
                with gate.lock:
                    gate.flights.drop_own(self._limited)
            return
        here_s = gate.steady() - self._began_at
        with gate.lock:
            at_once = gate.flights.drop(self._by, self._route.model_id, self._work)
            if self._limited:
                gate.flights.drop_own(self._limited)
            gate.costs.learn(self._route.model_id, here_s, max(at_once, self._at_once))


class Gate:
    """Lets requests in, and counts them until they end. Its one lock guards all that it counts."""

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
        self._store: Store | None = None
        self._refiller: Refiller | None = None

    def start(self, store: Store | None = None) -> None:
        """Share rates with other processes; before that, this one allows its even part of each."""
        self._store = store or chosen_store()
        self._refiller = Refiller(self._tokens, self._store)
        self._refiller.start()

    def stop(self) -> None:
        if self._refiller is not None:
            self._refiller.stop()
        self._refiller = self._store = None

    async def enter(self, by: Principal, route: Route) -> Flight:
        """Let a request in, or raise TooManyRequests, Overloaded or LimitsUnavailable.

        1. Rates that are spent from memory, 2. own limits of what is in flight, 3. room and fair share:
        all are looked at before anything is counted. 4. Exact rates last: a request that is refused anyway
        costs no question to the shared counter.
        """
        limited = limited_by(by, route)
        if not limited:
            with self.lock:
                self.flights.check(by, route.model_id)
            return Flight(self, by, route, ())
        store = self._store
        exact = [one for one in limited if one.is_exact] if store else []
        rated = [one for one in limited if one.limits.rate_per_minute is not None and one not in exact]
        with self.lock:
            for one in rated:
                self._tokens.check(one)
            self.flights.check_own(limited)
            self.flights.check(by, route.model_id)
            for one in rated:
                self._tokens.spend(one)
            self.flights.add_own(limited)
        flight = Flight(self, by, route, limited)
        if store and exact:
            try:
                await off_loop(partial(self._ask_exactly, store, exact))
            except BaseException:
                self._withdraw(flight, rated)
                raise
        return flight

    def _ask_exactly(self, store: Store, exact: list[Limited]) -> None:
        with self.lock:
            minute, left_s = self._minutes.now(), self._minutes.left_s()
        take_all(store, exact, minute, left_s)

    def _withdraw(self, flight: Flight, rated: list[Limited]) -> None:
        """Take back all that `enter` counted."""
        flight.end()
        with self.lock:
            for one in rated:
                self._tokens.give_back(one)


gate = Gate(room=ROOM_S, processes=settings.WEB_PROCESSES)
