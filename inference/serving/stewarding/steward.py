"""Makes true what should be warm, in a thread of its own: following the routes never waits for a load."""

import threading
from collections.abc import Callable, Collection

import structlog
from django.db import DatabaseError, close_old_connections

from inference.serving.executors.executor import Executor
from inference.serving.routes import RouteTable, Target
from inference.serving.stewarding.desired import Wanted

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
        self._look = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="steward", daemon=True)
        self.followed = -1  # the revision of the routes whose versions were loaded, or could not be

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """A load under way is not waited for: the engine that is closed next ends it."""
        self._stop.set()
        self._look.set()

    def wake(self) -> None:
        self._look.set()

    def hold(self, targets: Collection[Target]) -> None:
        """Load these here and now: the routes that name them are published next."""
        with self._working:
            self._executor.hold(frozenset(targets))

    def make_true(self) -> None:
        with self._working:
            table = self._table()
            desired = self._wanted(table)
            self._executor.let_go_of_all_but(desired.live | desired.waiting, desired.kept)
            self._executor.hold(desired.live)
            self._executor.hold(desired.waiting)
            self.followed = table.revision
            self._on_change()
            self._executor.keep(desired.kept)
        self._on_change()

    def _run(self) -> None:
        while not self._stop.is_set():
            close_old_connections()
            try:
                self.make_true()
            except DatabaseError as error:
                log.warning("what should be warm waits for the database", reason=str(error))
            self._look.wait(_LOOK_AGAIN_S)
            self._look.clear()
        close_old_connections()
