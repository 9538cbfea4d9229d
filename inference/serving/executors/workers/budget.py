"""How often a batch may be sent once more: a share of what is sent, and a little besides."""

import threading
import time
from collections.abc import Callable


class ResendBudget:
    """Tokens: every batch earns a share of one, time earns a few, a resend costs one.

    When workers are merely slow, every batch seems lost, and sending all of them twice would make them slower.
    """

    def __init__(
        self,
        *,
        share: float = 0.1,
        each_s: float = 1.0,
        most: float = 20.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._share, self._each_s, self._most, self._clock = share, each_s, most, clock
        self._tokens = most
        self._at = clock()
        self._lock = threading.Lock()

    def earn(self) -> None:
        """A batch is being sent for the first time."""
        with self._lock:
            self._tokens = min(self._most, self._tokens + self._share)

    def spend(self) -> bool:
        """Whether a batch may be sent once more."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self._most, self._tokens + (now - self._at) * self._each_s)
            self._at = now
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True
