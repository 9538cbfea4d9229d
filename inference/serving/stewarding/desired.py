"""What should be warm in a process, and why: what answers comes first, what may be gone back to comes last."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from inference.serving.routes import Route, RouteTable, Target


@dataclass(frozen=True, slots=True)
class Desired:
    """The versions on current splits, those on splits that wait to be, and those that were replaced lately."""

    live: frozenset[Target] = frozenset()
    waiting: frozenset[Target] = frozenset()
    kept: tuple[Target, ...] = ()  # what is likeliest to be needed again first


Wanted = Callable[[RouteTable], Desired]


def all_models(table: RouteTable) -> Desired:
    """What a process holds that answers for every Model."""
    return _desired(list(table.routes.values()))


def of_pool(pool: str) -> Wanted:
    """What a worker of this pool holds."""
    return lambda table: _desired([route for route in table.routes.values() if route.pool == pool])


def nothing(_table: RouteTable) -> Desired:
    """What a process holds that is only asked for what somebody names: all is loaded on demand."""
    return Desired()


def _desired(routes: list[Route]) -> Desired:
    now = timezone.now()
    live = frozenset(target for route in routes for target in route.targets if not target.is_broken)
    waiting = frozenset(target for route in routes for target in route.waiting if not target.is_broken) - live
    kept = [
        (route, target, until)
        for route in routes
        for target, until in route.kept
        if not target.is_broken
        and target not in live
        and target not in waiting
        and (until is None or until > now)
    ]
    kept.sort(key=lambda one: _rank(one[2]))
    return Desired(live, waiting, tuple(target for _route, target, _until in kept))


def _rank(until: datetime | None) -> float:
    """Rollback targets first, then what was replaced last."""
    return float("-inf") if until is None else -until.timestamp()
