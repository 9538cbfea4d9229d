"""Ends a worker that is alive and does nothing: what it held is done by others, and the supervisor starts a new one."""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

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
    """A thread that ends the process when something has waited all along and nothing of it has moved for `limit_s`."""

    def __init__(self, limit_s: float, *, end: Callable[[], None] = _end) -> None:
        self._limit_s, self._end = limit_s, end
        self._still_since: dict[str, tuple[int, float]] = {}  # what moved last, and since when it has not
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        if self._limit_s:
            self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def stuck(self, now: float) -> str | None:
        """The name of what has stood still for too long."""
        for name, probe in list(_probes.items()):
            try:
                seen = probe()
            except Exception as error:  # noqa: BLE001 (its broker or database may be away: nobody works then)
                log.debug("a watch cannot tell", watch=name, reason=str(error))
                self._still_since.pop(name, None)
                continue
            before = self._still_since.get(name)
            if not seen.is_waiting or before is None or before[0] != seen.moved:
                self._still_since[name] = (seen.moved, now)
            elif now - before[1] >= self._limit_s:
                return name
        return None

    def _watch(self) -> None:
        while not self._stop.wait(min(_LOOK_EVERY_S, self._limit_s / 4)):
            if (name := self.stuck(time.monotonic())) is not None:
                log.critical("nothing moves; this worker is replaced", watch=name, for_s=self._limit_s)
                self._end()
                return
