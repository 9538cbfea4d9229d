"""Threads that run batches: as many as run at once, so that a run which hangs keeps no other from beginning."""

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

_IDLE_S = 30.0  # then a thread without work ends


class Runners:
    """Hands each batch to a thread that is idle, or else to a new one."""

    def __init__(self, name: str, *, on_start: Callable[[], None] | None = None) -> None:
        self._name, self._on_start = name, on_start
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0  # threads without work, less the work that no thread has taken yet

    def run(self, work: Callable[[], None]) -> None:
        """Have a thread call this; RuntimeError where the machine gives no further thread. The work raises nothing."""
        with self._lock:
            if self._idle:
                self._idle -= 1
            else:
                threading.Thread(target=self._take_work, name=self._name, daemon=True).start()
            self._work.put(work)

    def _take_work(self) -> None:
        if self._on_start is not None:
            self._on_start()
        while True:
            try:
                work = self._work.get(timeout=_IDLE_S)
            except Empty:
                with self._lock:
                    if not self._idle:  # somebody counts on this thread: its work is on its way
                        continue
                    self._idle -= 1
                    return
            work()
            del work  # a batch is not kept until the next one comes
            with self._lock:
                self._idle += 1
