"""Ends a worker that is alive and does nothing: what it held is done by others, and the supervisor starts a new one."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from registry.kit.loops import Loop, ThreadGroup

log = structlog.get_logger("roundhouse.worker")

EXIT_STATUS = 70
_LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What one probe sees: whether something waits to be done, and a number that grows whenever something is."""

    is_waiting: bool
    moved: int


Probe = Callable[[], Seen]

_probes: dict[str, Probe] = {}


def register_watch(name: str, probe: Probe) -> None:
    """Watch this as well. A probe may raise where it cannot tell: that is not held against the worker."""
    _probes[name] = probe


def _end() -> None:
    os._exit(EXIT_STATUS)


class Watchdog:
    """A thread that ends the process when something has waited all along and nothing of it has moved for `limit_s`.

    It looks about every second, and a look counts for no more than that however late it comes: a process that got no processor,
    or was paused, had no chance to move anything either.
    """

    def __init__(self, limit_s: float, *, end: Callable[[], None] = _end) -> None:
        self._limit_s, self._end = limit_s, end
        self._every_s = min(_LOOK_EVERY_S, limit_s / 4)
        self._looked_at: float | None = None
        self._still: dict[str, tuple[int, float]] = {}  # what moved last, and for how long it has not
        self._thread = ThreadGroup(
            "watchdog",
            Loop("watchdog", self._look, self._every_s, "nobody ends a stuck worker"),
        )

    def start(self) -> None:
        if self._limit_s:
            self._thread.start()

    def stop(self) -> None:
        self._thread.stop()

    def stuck(self, now: float) -> str | None:
        """Look, and return the name of what has stood still for too long."""
        passed_s = self._passed_s(now)
        for name, probe in list(_probes.items()):
            try:
                seen = probe()
            except Exception as error:  # noqa: BLE001 (its broker or database may be away: nobody works then)
                log.debug("a watch cannot tell", watch=name, reason=str(error))
                self._still.pop(name, None)
                continue
            before = self._still.get(name)
            if not seen.is_waiting or before is None or before[0] != seen.moved:
                self._still[name] = (seen.moved, 0.0)
                continue
            still_s = before[1] + passed_s
            self._still[name] = (seen.moved, still_s)
            if still_s >= self._limit_s:
                return name
        return None

    def _passed_s(self, now: float) -> float:
        passed_s = 0.0 if self._looked_at is None else now - self._looked_at
        self._looked_at = now
        return min(passed_s, self._every_s)

    def _look(self) -> None:
        if (name := self.stuck(time.monotonic())) is not None:
            log.critical("nothing moves; this worker is replaced", watch=name, for_s=self._limit_s)
            self._end()
            self._thread.stop()
