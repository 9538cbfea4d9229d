"""Keeping busy threads on one core each.

Linux moves a busy thread to any core that is idle for a moment, and whoever wakes up there next waits behind it,
however low its priority: live requests then took half as long again. Behind a thread that stays, nobody queues up.
"""

import os
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# What a core has for a thread is told by a second in which the thread could run, and by the part of it in which it did.
_ENOUGH_NS, _TOO_LITTLE = 1_000_000_000, 1 / 4


@dataclass(slots=True)
class _Place:
    core: int
    ran_ns: int
    waited_ns: int


class Cores:
    """Gives each thread a core, apart from the others' while there are enough; and another one where that is taken."""

    def __init__(self) -> None:
        self._places: dict[int, _Place] = {}
        self._changing = threading.Lock()
        can_tell = hasattr(os, "sched_getaffinity") and Path("/proc/self/schedstat").exists()
        self._cores = sorted(os.sched_getaffinity(os.getpid())) if can_tell else []

    def settle(self) -> None:
        """Keep the calling thread on one core from now on. Where there is one only, or no Linux, nothing happens."""
        if len(self._cores) < 2:
            return
        thread = threading.get_native_id()
        with self._changing, suppress(OSError):
            self._place(thread, self._freest())

    def look_after(self) -> None:
        """Move threads that hardly get to run. Call it from time to time, from anywhere."""
        with self._changing:
            for thread, place in list(self._places.items()):
                try:
                    ran_ns, waited_ns = _so_far(thread)
                    ran, waited = ran_ns - place.ran_ns, waited_ns - place.waited_ns
                    if ran + waited < _ENOUGH_NS:
                        continue
                    is_starved = ran < _TOO_LITTLE * (ran + waited)
                    self._place(thread, self._freest(but=place.core) if is_starved else place.core)
                except OSError:  # the thread has ended
                    del self._places[thread]

    def _place(self, thread: int, core: int) -> None:
        os.sched_setaffinity(thread, {core})
        self._places[thread] = _Place(core, *_so_far(thread))

    def _freest(self, *, but: int | None = None) -> int:
        """The one with the fewest of our threads; the last of them, for the first often has the interrupts."""
        ours = Counter(place.core for place in self._places.values())
        return min((core for core in self._cores if core != but), key=lambda core: (ours[core], -core))


def _so_far(thread: int) -> tuple[int, int]:
    """For how long a thread of this process ran, and waited for a core while it could have run."""
    ran_ns, waited_ns, _ = Path(f"/proc/self/task/{thread}/schedstat").read_text().split()
    return int(ran_ns), int(waited_ns)
