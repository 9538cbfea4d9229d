"""What this process holds of the ledger, and the rule that a chunk which lost its worker runs alone."""

import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from inference.jobs.ledger import Claim
from inference.jobs.running.failures import WorkOver


@dataclass(slots=True, eq=False)
class Held:
    """A claim and the thread's work on it. `is_over` is set when nobody wants the work's end any more."""

    claim: Claim
    note_move: Callable[[], None] = lambda: None
    is_over: threading.Event = field(default_factory=threading.Event)
    quiet_until: float = math.inf  # a time of the monotonic clock by which something must have moved

    def note_progress(self, *, next_within_s: float = math.inf) -> None:
        """Something was done; more will be within so long. Raise WorkOver where nobody wants it any more."""
        if self.is_over.is_set():
            raise WorkOver
        self.quiet_until = time.monotonic() + next_within_s
        self.note_move()


class Holdings:
    """The chunks that threads of this process do now. One thread at a time looks for another and adds it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: list[Held] = []
        self.moves = 0

    def has_room_for(self, *, runs_alone: bool) -> bool:
        with self._lock:
            return not self._held or not (runs_alone or any(held.claim.runs_alone for held in self._held))

    def add(self, claim: Claim) -> Held:
        held = Held(claim, self._note_move)
        with self._lock:
            self._held.append(held)
        return held

    def remove(self, held: Held) -> None:
        with self._lock:
            self._held.remove(held)

    def all(self) -> list[Held]:
        with self._lock:
            return list(self._held)

    def _note_move(self) -> None:
        self.moves += 1

    def note_lost(self, lost: Iterable[Claim]) -> None:
        gone = set(lost)
        for held in self.all():
            if held.claim in gone:
                held.is_over.set()
