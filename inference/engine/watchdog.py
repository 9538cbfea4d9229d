"""Watches for runs that exceed their limits, and for a stalled loop, from other threads."""

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Any

from inference.engine.errors import EngineStopped
from inference.engine.loop import EngineLoop

_log = logging.getLogger("roundhouse.engine")
_LOOK_EVERY_S = 0.25
_STALLED_LOOKS = (
    60  # counted in looks, not seconds: a suspended process, or one without a core, does not look
)


class SoftLimit:
    """A run's time limit: a context manager around the run. `is_over`: the run was ended."""

    __slots__ = ("_watchdog", "deadline", "is_over", "run_options")

    def __init__(self, watchdog: "RunWatchdog", run_options: Any, seconds: float) -> None:
        self._watchdog, self.run_options = watchdog, run_options
        self.deadline = time.monotonic() + seconds
        self.is_over = False

    def __enter__(self) -> "SoftLimit":
        self._watchdog.watch(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._watchdog.forget(self)


class RunWatchdog:
    """Ends runs at their soft limit by setting `terminate` on their run options. One thread serves all runs.

    A run that ends in time costs a set entry, but no lock and no wake-up. Limits are mostly equal, so a new deadline is
    usually later than the one the thread sleeps until; only an earlier one has to wake it.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._watched: set[SoftLimit] = set()  # changed by single bytecode steps only
        self._wakes_at = math.inf
        self._thread: threading.Thread | None = None

    def watch(self, limit: SoftLimit) -> None:
        self._watched.add(limit)
        if limit.deadline < self._wakes_at:
            self._wake()

    def forget(self, limit: SoftLimit) -> None:
        self._watched.discard(limit)

    def _wake(self) -> None:
        with self._changed:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._loop, name="engine-soft-limits", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _loop(self) -> None:
        with self._changed:
            while True:
                # Set this first: a run that starts later sees it and wakes us, or sees the time we find below.
                self._wakes_at = math.inf
                now, watched = time.monotonic(), list(self._watched)
                for limit in watched:
                    if limit.deadline <= now:
                        limit.is_over = True
                        limit.run_options.terminate = True
                        self._watched.discard(limit)
                wakes_at = min((limit.deadline for limit in watched if not limit.is_over), default=math.inf)
                self._wakes_at = wakes_at
                self._changed.wait(None if wakes_at == math.inf else wakes_at - now)


class StallWatch:
    """A thread that checks several times a second that no run is stuck and that the loop is turning.

    Watches that share a loop count their turns separately.
    """

    def __init__(
        self, loop: EngineLoop, check_runs: Callable[[], None], *, on_stall: Callable[[], None]
    ) -> None:
        self._loop, self._check_runs, self._on_stall = loop, check_runs, on_stall
        self._turns_asked = self._turns_seen = 0
        self._over = threading.Event()
        threading.Thread(target=self._watch, name="engine-watch", daemon=True).start()

    def stop(self) -> None:
        self._over.set()

    def has_turned(self) -> bool:
        """Whether the loop has turned since the last call of this method."""
        has_turned = self._turns_seen == self._turns_asked
        if has_turned:
            self._turns_asked += 1
            self._loop.post(self._note_turn)
        return has_turned or not self._loop.is_running

    def _note_turn(self) -> None:
        self._turns_seen = self._turns_asked

    def _watch(self) -> None:
        stalled_looks = 0
        while not self._over.wait(_LOOK_EVERY_S):
            try:
                self._check_runs()
                stalled_looks = 0 if self.has_turned() else stalled_looks + 1
                if stalled_looks == _STALLED_LOOKS:
                    self._on_stall()
            except EngineStopped:
                return
            except Exception:  # noqa: BLE001 (logged; this thread continues)
                _log.exception("watching the runs and the loop failed; trying again")
