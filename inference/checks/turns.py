"""Turns for work of which a process does only so much at once: what finds no place is done by who has one."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

import structlog

log = structlog.get_logger("roundhouse.checks")
T = TypeVar("T")


class Turns(Generic[T]):
    """A queue in memory without threads of its own. If the process dies, what waits in it is gone."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._lock = threading.Lock()
        self._waiting: deque[T] = deque()
        self._taken = 0

    def do(self, item: T, work: Callable[[T], object]) -> None:
        """Do the work, and then what came meanwhile; or, where all places are taken, leave it to those who have them."""
        with self._lock:
            if item not in self._waiting:  # asked for again before its turn came
                self._waiting.append(item)
            if self._taken >= self._places:
                return
            self._taken += 1
        while (next_one := self._next()) is not None:
            try:
                work(next_one[0])
            except Exception as error:  # those who wait have done nothing wrong
                log.error("check ended in an error", item=next_one[0], exc_info=error)

    def _next(self) -> tuple[T] | None:
        with self._lock:
            if self._waiting:
                return (self._waiting.popleft(),)
            self._taken -= 1
            return None
