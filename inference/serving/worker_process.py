"""How a worker process ends: what it finishes first, and the watchdog that ends it when it is stuck.

The parts of a worker register themselves in STOP_HOOKS and WATCHES when they start.
"""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from registry.kit.loops import Loop, ThreadGroup
from registry.kit.registrations import Registrations

log = structlog.get_logger("roundhouse.worker")

FINISH_WITHIN_S = 20.0  # less than the supervisor waits before it sends SIGKILL
EXIT_STATUS = 70
_PROBE_EVERY_S = 1.0

# Called on SIGTERM with the seconds left: accept no new work, finish or hand back the rest, and return.
StopHook = Callable[[float], None]
STOP_HOOKS: Registrations[StopHook] = Registrations("stop hook")


@dataclass(frozen=True, slots=True)
class QueueProgress:
    """What one probe sees: whether work is waiting, and a number that grows whenever some of it is done."""

    is_waiting: bool
    moved: int


# A probe may raise if it cannot tell; that does not count against the worker.
Probe = Callable[[], QueueProgress]
WATCHES: Registrations[Probe] = Registrations("watch")


class Shutdown:
    """Runs all stop hooks at the same time, each in its own thread, so that none uses up another's time."""

    def __init__(self, within_s: float = FINISH_WITHIN_S) -> None:
        self._ends_at = time.monotonic() + within_s
        self._threads = {
            name: threading.Thread(target=self._call, args=(name, hook), name=f"stop-{name}", daemon=True)
            for name, hook in STOP_HOOKS.items()
        }
        for thread in self._threads.values():
            thread.start()

    @property
    def left_s(self) -> float:
        return max(0.0, self._ends_at - time.monotonic())

    def wait(self) -> bool:
        """Whether all hooks have finished in time."""
        for thread in self._threads.values():
            thread.join(self.left_s)
        late = [name for name, thread in self._threads.items() if thread.is_alive()]
        if late:
            log.warning("the worker ends although something has not finished", unfinished=late)
        return not late

    def _call(self, name: str, hook: StopHook) -> None:
        try:
            hook(self.left_s)
        except Exception as error:
            log.error("a stop hook failed", hook=name, exc_info=error)


def _exit() -> None:
    os._exit(EXIT_STATUS)


class WorkerWatchdog:
    """Ends a worker that is alive but stuck: work has waited for `limit_s` and none of it has moved.

    Other workers take over what it held, and the supervisor starts a new one. Time between two probes counts as one
    interval at most: a process that was paused or got no CPU had no chance to move anything.
    """

    def __init__(self, limit_s: float, *, end: Callable[[], None] = _exit) -> None:
        self._limit_s, self._end = limit_s, end
        self._every_s = min(_PROBE_EVERY_S, limit_s / 4)
        self._probed_at: float | None = None
        self._still: dict[str, tuple[int, float]] = {}  # the last `moved`, and how long it has been unchanged
        self._thread = ThreadGroup(
            "watchdog", Loop("watchdog", self._probe, self._every_s, "a stuck worker is not replaced")
        )

    def start(self) -> None:
        if self._limit_s:
            self._thread.start()

    def stop(self) -> None:
        self._thread.stop()

    def stuck(self, now: float) -> str | None:
        """Probe everything, and return the name of a watch without progress for too long."""
        passed_s = self._passed_s(now)
        for name, probe in WATCHES.items():
            try:
                progress = probe()
            except Exception as error:  # noqa: BLE001 (without a broker or database, no worker makes progress)
                log.debug("a watch cannot tell", watch=name, reason=str(error))
                self._still.pop(name, None)
                continue
            moved, still_s = self._still.get(name, (None, 0.0))
            if not progress.is_waiting or moved != progress.moved:
                self._still[name] = (progress.moved, 0.0)
                continue
            self._still[name] = (progress.moved, still_s + passed_s)
            if still_s + passed_s >= self._limit_s:
                return name
        return None

    def _passed_s(self, now: float) -> float:
        passed_s = 0.0 if self._probed_at is None else now - self._probed_at
        self._probed_at = now
        return min(passed_s, self._every_s)

    def _probe(self) -> None:
        if (name := self.stuck(time.monotonic())) is not None:
            log.critical("nothing moves; this worker is replaced", watch=name, for_s=self._limit_s)
            self._end()
            self._thread.stop()
