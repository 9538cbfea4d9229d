"""Redis's clock, which the processes that ask and those that answer have in common."""

import time

from inference.serving.executors.workers.broker import LoopConnection

_ASK_AGAIN_S = 30.0


class RedisClock:
    """Tells Redis's time by this process's monotonic clock and the difference last seen.

    Deadlines travel as times of this clock: hosts whose own clocks differ, or are set, agree about them as well as
    a round trip to Redis takes. Another Redis may stand behind the address after a reconnection, so each connection
    has a clock of its own.
    """

    def __init__(self) -> None:
        self._ahead_s = 0.0
        self._asked_at: float | None = None

    async def ask(self, connection: LoopConnection) -> None:
        """Look at Redis's clock, if the last look is no longer good."""
        began = time.monotonic()
        if self._asked_at is None or began - self._asked_at >= _ASK_AGAIN_S:
            [(seconds, microseconds)] = await connection.ask(("TIME",))
            # the answer was true somewhere between sending and now; the middle is off by half a round trip at most
            self._ahead_s = int(seconds) + int(microseconds) / 1e6 - (began + time.monotonic()) / 2
            self._asked_at = began

    def at(self, monotonic: float) -> float:
        """Redis's time at a moment of this process's monotonic clock."""
        return monotonic + self._ahead_s

    def monotonic(self, at: float) -> float:
        """The other way round."""
        return at - self._ahead_s
