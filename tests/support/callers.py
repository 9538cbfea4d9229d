"""Those who ask, a clock that tests turn, and a counter without a server."""

import itertools
from collections import defaultdict
from contextlib import suppress

from inference.doors.limits.admission import Admission
from inference.doors.limits.flights import Costs
from inference.engine.errors import Overloaded
from inference.engine.loop import complete
from inference.errors import LimitsUnavailable, TooManyRequests
from inference.serving.routes import Route
from registry.access.key_ring import Principal
from registry.access.limits import NO_LIMITS, CallerLimits

_numbers = itertools.count(1)
NOON_S = 1_800_000_000.0  # where a minute begins
NOON = int(NOON_S // 60)
WAIT_S = 20


def a_caller(limits=NO_LIMITS, *, tenant_limits=NO_LIMITS, tenant_id=1, **more):
    number = next(_numbers)
    return Principal(
        key_id=number,
        name=f"key-{number}",
        tenant_id=tenant_id,
        tenant="night-shift",
        scopes=frozenset(),
        models=None,
        expires_at=None,
        limits=CallerLimits(**more) if more else limits,
        tenant_limits=tenant_limits,
    )


def a_route(**limits):
    number = next(_numbers)
    return Route(slug=f"model-{number}", model_id=number, limits=CallerLimits(**limits))


class Clock:
    """Wall and steady clock. `tick` moves both; `wall_s` alone is what somebody sets."""

    def __init__(self):
        self.wall_s, self.steady_s = NOON_S, 1000.0

    def wall(self):
        return self.wall_s

    def steady(self):
        return self.steady_s

    def tick(self, seconds):
        self.wall_s += seconds
        self.steady_s += seconds


class MemoryStore:
    """One counter for gates of one test; `is_down` makes it fail."""

    def __init__(self):
        self.used = {}
        self.is_down = False
        self.swept = []

    def take(self, subject, minute, amount, limit):
        self._check()
        used = self.used.get((subject, minute), 0)
        granted = max(0, min(amount, limit - used))
        self.used[subject, minute] = used + granted
        return granted

    def give_back(self, subject, minute, amount):
        self._check()
        self.used[subject, minute] -= amount

    def sweep(self, before):
        self._check()
        self.swept.append(before)

    def _check(self):
        if self.is_down:
            raise LimitsUnavailable


def a_gate(clock=None, *, room=400, processes=1, **more):
    clock = clock or Clock()
    return Admission(
        room=room, processes=processes, costs=OneEach(), wall=clock.wall, steady=clock.steady, **more
    )


class OneEach(Costs):
    """Every request is one of the places that a gate has room for."""

    def of(self, model_id):
        return 1.0


_inside = defaultdict(list)


def enter(gate, by, route):
    """Let a request in, from whom all has been received; it stays until `leave`."""
    flight = complete(gate.enter(by, route))
    flight.begin()
    _inside[gate, by.key_id, route.model_id].append(flight)


def leave(gate, by, route):
    _inside[gate, by.key_id, route.model_id].pop().end()


def is_let_in(gate, by, route):
    with suppress(TooManyRequests, Overloaded):
        enter(gate, by, route)
        return True
    return False


def passes(gate, by, route, times):
    """How many of so many requests, one after the other, are answered."""
    return sum(_comes_and_goes(gate, by, route) for _ in range(times))


def _comes_and_goes(gate, by, route):
    if not is_let_in(gate, by, route):
        return False
    leave(gate, by, route)
    return True
