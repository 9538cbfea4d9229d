"""Which versions a process should hold in memory, and the thread that loads them."""

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

import structlog
from django.utils import timezone

from inference.serving.executors.executor import Executor
from inference.serving.routes import Route, RouteTable, Target
from registry.kit.loops import DATABASE_AWAY, Attempts, Loop, ThreadGroup

log = structlog.get_logger("roundhouse.steward")

# Even without a change: bakes end, and a version that did not fit may fit now.
_RECONCILE_EVERY_S = 30.0


@dataclass(frozen=True, slots=True)
class DesiredVersions:
    """The versions on current splits, those on waiting splits, and those that were replaced recently."""

    live: frozenset[Target] = frozenset()
    waiting: frozenset[Target] = frozenset()
    kept: tuple[Target, ...] = ()  # the ones most likely to be needed again come first


Wanted = Callable[[RouteTable], DesiredVersions]


def all_models(table: RouteTable) -> DesiredVersions:
    """For a process that serves every Model."""
    return _desired(list(table.routes.values()))


def models_of_pool(pool: str) -> Wanted:
    """For a worker of this pool."""
    return lambda table: _desired([route for route in table.routes.values() if route.pool == pool])


def no_models(_table: RouteTable) -> DesiredVersions:
    """For a process that loads every version on demand."""
    return DesiredVersions()


def _desired(routes: list[Route]) -> DesiredVersions:
    now = timezone.now()
    live = frozenset(target for route in routes for target in route.targets if not target.is_broken)
    waiting = frozenset(target for route in routes for target in route.waiting if not target.is_broken) - live
    kept = [
        (target, until)
        for route in routes
        for target, until in route.kept
        if not target.is_broken
        and target not in live
        and target not in waiting
        and (until is None or until > now)
    ]
    kept.sort(key=lambda entry: _rank(entry[1]))
    return DesiredVersions(live, waiting, tuple(target for target, _until in kept))


def _rank(until: datetime | None) -> float:
    """Rollback targets first, then the most recently replaced."""
    return float("-inf") if until is None else -until.timestamp()


class Steward:
    """A thread that loads live versions first, then waiting ones, then kept ones, and unloads the rest.

    It is separate from the thread that follows the routes, which must never wait for a load.
    """

    def __init__(
        self,
        executor: Executor,
        *,
        table: Callable[[], RouteTable],
        wanted: Wanted,
        on_change: Callable[[], None],
    ) -> None:
        self._executor = executor
        self._table, self._wanted, self._on_change = table, wanted, on_change
        self._working = threading.Lock()
        self._thread = ThreadGroup(
            "steward",
            Loop("steward", self.reconcile, _RECONCILE_EVERY_S, "the wrong versions may be in memory"),
        )
        self.followed = -1  # the newest revision of the routes whose versions were loaded, or failed to load

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Do not wait for a load in progress: closing the engine, which happens next, ends it."""
        self._thread.stop(within_s=0)

    def wake(self) -> None:
        self._thread.wake()

    def hold(self, targets: Collection[Target]) -> None:
        """Load these now: the routes that name them are published next.

        An unexpected error while loading one of them must not keep the routes from being published.
        """
        try:
            with self._working, Attempts() as attempt:
                self._hold(frozenset(targets), attempt)
        except DATABASE_AWAY:
            raise
        except Exception as error:  # `reconcile` tries again, and reports what it raises
            log.error("a version could not be loaded", exc_info=error)

    def reconcile(self) -> None:
        with self._working:
            table = self._table()
            desired = self._wanted(table)
            with Attempts() as attempt:
                attempt(self._executor.retain_only, desired.live | desired.waiting, desired.kept)
                self._hold(desired.live, attempt)
                self._hold(desired.waiting, attempt)
                self.followed = table.revision
                self._on_change()
                attempt(self._executor.keep, desired.kept)
                self._on_change()

    def _hold(self, targets: frozenset[Target], attempt: Attempts) -> None:
        """Load all of them together, or one by one after an error, so that a single bad version does not block the others."""
        try:
            self._executor.hold(targets)
        except DATABASE_AWAY:
            raise
        except Exception:  # noqa: BLE001 (the version that raised it raises it again below)
            for target in targets:
                attempt(self._executor.hold, frozenset({target}))
