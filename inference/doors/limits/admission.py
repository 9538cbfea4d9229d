"""The gate that every request for a prediction passes: this process's, for all doors."""

import threading

from django.conf import settings

from inference.doors.limits.flights import Flights
from inference.doors.limits.limited import limited_by
from inference.serving.routes import Route
from registry.access.key_ring import Principal
from registry.access.limits import NO_LIMITS


class Gate:
    """Lets requests in, and counts them until they leave. Its one lock guards all that it counts."""

    def __init__(self, *, flights: Flights) -> None:
        self._lock = threading.Lock()
        self._flights = flights

    def enter(self, by: Principal, route: Route) -> None:
        """Count a request as in flight, or raise what its caller is owed: TooManyRequests or Overloaded.

        Every request that entered must leave, with the same two objects.
        """
        if by.limits is NO_LIMITS and by.tenant_limits is NO_LIMITS and route.limits is NO_LIMITS:
            with self._lock:
                self._flights.check(by)
                self._flights.add(by)
            return
        limited = limited_by(by, route)
        with self._lock:
            self._flights.check_own(limited)
            self._flights.check(by)
            self._flights.add(by)
            self._flights.add_own(limited)

    def leave(self, by: Principal, route: Route) -> None:
        if by.limits is NO_LIMITS and by.tenant_limits is NO_LIMITS and route.limits is NO_LIMITS:
            with self._lock:
                self._flights.drop(by)
            return
        limited = limited_by(by, route)
        with self._lock:
            self._flights.drop(by)
            self._flights.drop_own(limited)


gate = Gate(flights=Flights(room=settings.WEB_THREADS // 2, processes=settings.WEB_PROCESSES))
