"""Threads that do the same until they are told to stop."""

import threading
import time
from collections.abc import Callable, Iterable


class Crew:
    """`run` goes on until `stopping` is set; `stop` sets it, and waits for all of them together."""

    def __init__(self, name: str, run: Callable[[], None], *, threads: int) -> None:
        self.stopping = threading.Event()
        self._threads = [
            threading.Thread(target=run, name=f"{name}-{number}", daemon=True)
            for number in range(1, threads + 1)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self, within_s: float) -> None:
        self.stopping.set()
        join(self._threads, within_s)


def join(threads: Iterable[threading.Thread], within_s: float) -> None:
    """Wait for them, no longer than so long in all."""
    ends_at = time.monotonic() + max(0.0, within_s)
    for thread in threads:
        thread.join(max(0.0, ends_at - time.monotonic()))
