"""Threads beside the event loop compute one at a time.

The interpreter's lock goes to any of those who want it. With sixteen threads that compute, the loop gets it every
seventeenth time, some milliseconds late each time; with one, every second time. Threads that wait, for the database or
for a model's answer, let others have their turn meanwhile.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

PATIENCE_S = 1.0


class Turns:
    """One turn, taken by thread after thread. Whoever does not get it in time goes on without, to the end of its work:
    somebody may hold it who computes nothing, and waits for a disk.
    """

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._turn = threading.Lock()
        self._patience_s = patience_s
        self._here = _Here()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Do one piece of work, in turns with the other threads."""
        here = self._here
        here.waits = True
        self._take()
        try:
            yield
        finally:
            self._give()
            here.waits = False

    @contextmanager
    def let_go(self) -> Iterator[None]:
        """Wait for something without the turn; nothing for threads that have none, or have let it go already."""
        had_turn = self._here.holds
        self._give()
        try:
            yield
        finally:
            if had_turn:
                self._take()

    @contextmanager
    def locked(self, lock: threading.Lock) -> Iterator[None]:
        """Hold a lock whose holders let their turn go while they have it: whoever waits for it with the turn in hand
        would keep the holder from going on.
        """
        with self.let_go():
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @property
    def is_mine(self) -> bool:
        return self._here.holds

    def while_asked(self, execute: Callable[..., Any], *query: Any) -> Any:
        """A wrapper of database calls, as Django knows them."""
        with self.let_go():
            return execute(*query)

    def _take(self) -> None:
        here = self._here
        if here.waits:
            here.holds = here.waits = self._turn.acquire(timeout=self._patience_s)

    def _give(self) -> None:
        here = self._here
        if here.holds:
            here.holds = False
            self._turn.release()


class _Here(threading.local):
    """What a thread knows of itself."""

    holds = False  # it has the turn
    waits = False  # it takes part, and has always got its turn so far


turns = Turns()
