"""Redis's clock, which the processes that ask and those that answer have in common."""

import time

import redis

_ASK_AGAIN_S = 30.0


class RedisClock:
    """Tells Redis's time by this process's monotonic clock and the difference last seen.

    Deadlines travel as times of this clock: hosts whose own clocks differ, or are set, agree about them as well as
    a round trip to Redis takes.
    """

    def __init__(self) -> None:
        self._ahead_s: float | None = None
        self._asked_at = 0.0

    def ask(self, client: "redis.Redis") -> None:
        """Look at Redis's clock, if the last look is no longer good; call it with `forget` after a reconnection."""
        now = time.monotonic()
        if self._ahead_s is None or now - self._asked_at >= _ASK_AGAIN_S:
            seconds, microseconds = client.time()
            # the answer was true somewhere between sending and now; the middle is off by half a round trip at most
            self._ahead_s = seconds + microseconds / 1e6 - (now + time.monotonic()) / 2
            self._asked_at = now

    def forget(self) -> None:
        """Another Redis may stand behind the address from now on."""
        self._ahead_s = None

    def at(self, monotonic: float) -> float:
        """Redis's time at a moment of this process's monotonic clock."""
        return monotonic + (self._ahead_s or 0.0)

    def monotonic(self, at: float) -> float:
        """The other way round."""
        return at - (self._ahead_s or 0.0)
