"""Makes true what should be warm, in a thread of its own: following the routes never waits for a load."""

import threading
from collections.abc import Callable, Collection

import structlog

from inference.serving.executors.executor import Executor
from inference.serving.routes import RouteTable, Target
from inference.serving.stewarding.desired import Wanted
from registry.kit.loops import DATABASE_AWAY, Attempts, Loop, ThreadGroup

log = structlog.get_logger("roundhouse.steward")

# Without a change: bakes end, and what could not be loaded may fit by now.
_LOOK_AGAIN_S = 30.0


class Steward:
    """Loads what answers, then what waits to answer, then what may be gone back to; lets go of the rest."""

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
            Loop("steward", self.make_true, _LOOK_AGAIN_S, "what is in memory may not be what should be"),
        )
        self.followed = -1  # the revision of the routes whose versions were loaded, or could not be

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """A load under way is not waited for: the engine that is closed next ends it."""
        self._thread.stop(within_s=0)

    def wake(self) -> None:
        self._thread.wake()

    def hold(self, targets: Collection[Target]) -> None:
        """Load these here and now: the routes that name them are published next.

        One that cannot be loaded because of an error of ours keeps no route from being published.
        """
        try:
            with self._working, Attempts() as attempt:
                self._hold(frozenset(targets), attempt)
        except DATABASE_AWAY:
            raise
        except Exception as error:  # `make_true` tries again, and what it raises is reported
            log.error("a version could not be loaded", exc_info=error)

    def make_true(self) -> None:
        with self._working:
            table = self._table()
            desired = self._wanted(table)
            with Attempts() as attempt:
                attempt(self._executor.let_go_of_all_but, desired.live | desired.waiting, desired.kept)
                self._hold(desired.live, attempt)
                self._hold(desired.waiting, attempt)
                self.followed = table.revision
                self._on_change()
                attempt(self._executor.keep, desired.kept)
                self._on_change()

    def _hold(self, targets: frozenset[Target], attempt: Attempts) -> None:
        """All of them together; each by itself where one raises, so that the others are held."""
        try:
            self._executor.hold(targets)
        except DATABASE_AWAY:
            raise
        except Exception:  # noqa: BLE001 (whichever raised it raises it again)
            for target in targets:
                attempt(self._executor.hold, frozenset({target}))
