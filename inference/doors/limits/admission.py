"""The gate that every request for a prediction passes: this process's, for all doors."""

import threading
import time
from collections.abc import Callable

from django.conf import settings

from inference.doors.limits.exact import take_all
from inference.doors.limits.flights import CROWDED_FROM, Flights
from inference.doors.limits.limited import Limited, limited_by
from inference.doors.limits.minutes import Minutes
from inference.doors.limits.refill import Refiller
from inference.doors.limits.stores import Store, chosen_store
from inference.doors.limits.tokens import Tokens
from inference.serving.routes import Route
from registry.access.key_ring import Principal


class Gate:
    """Lets requests in, and counts them until they leave. Its one lock guards all that it counts."""

    def __init__(
        self,
        *,
        room: int,
        processes: int,
        crowded_from: float = CROWDED_FROM,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lock = threading.Lock()
        self._flights = Flights(room=room, processes=processes, crowded_from=crowded_from, clock=steady)
        self._minutes = Minutes(wall=wall, steady=steady)
        self._tokens = Tokens(processes=processes, minutes=self._minutes, lock=self._lock)
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

    def enter(self, by: Principal, route: Route) -> None:
        """Count a request as in flight, or raise TooManyRequests, Overloaded or LimitsUnavailable.

        What has entered must leave, with the same two objects.

        1. Rates that are spent from memory, 2. own limits of what is in flight, 3. room and fair share:
        all are looked at before anything is counted. 4. Exact rates last: a request that is refused anyway
        costs no question to the shared counter.
        """
        limited = limited_by(by, route)
        if not limited:
            with self._lock:
                self._flights.check(by)
                self._flights.add(by)
            return
        store = self._store
        exact = [one for one in limited if one.is_exact] if store else []
        rated = [one for one in limited if one.limits.rate_per_minute is not None and one not in exact]
        with self._lock:
            for one in rated:
                self._tokens.check(one)
            self._flights.check_own(limited)
            self._flights.check(by)
            for one in rated:
                self._tokens.spend(one)
            self._flights.add(by)
            self._flights.add_own(limited)
        if store and exact:
            try:
                self._ask_exactly(store, exact)
            except Exception:
                self._withdraw(by, route, rated)
                raise

    def leave(self, by: Principal, route: Route) -> None:
        limited = limited_by(by, route)
        with self._lock:
            self._flights.drop(by)
            if limited:
                self._flights.drop_own(limited)

    def _ask_exactly(self, store: Store, exact: list[Limited]) -> None:
        with self._lock:
            minute, left_s = self._minutes.now(), self._minutes.left_s()
        take_all(store, exact, minute, left_s)

    def _withdraw(self, by: Principal, route: Route, rated: list[Limited]) -> None:
        """Take back all that `enter` counted."""
        self.leave(by, route)
        with self._lock:
            for one in rated:
                self._tokens.give_back(one)


# The threads beyond it have only to refuse, which takes a small part of the time that an answer takes.
gate = Gate(room=settings.WEB_THREADS * 3 // 4, processes=settings.WEB_PROCESSES)
