"""The windows that rates are counted in: minutes of the wall clock, which is what processes share."""

import time
from collections.abc import Callable
from math import ceil

_MINUTE_S = 60


class Minutes:
    """Numbers of minutes that never go back, so that a clock that is put back gives nobody a minute twice.

    Nor does such a clock make a minute last: the steady clock ends it. Not safe between threads.
    """

    def __init__(
        self, *, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall, self._steady = wall, steady
        self._number = -1
        self._ends_at = 0.0

    def now(self) -> int:
        wall_s, steady_s = self._wall(), self._steady()
        number = int(wall_s // _MINUTE_S)
        if number > self._number:
            self._number, self._ends_at = number, steady_s + _MINUTE_S - wall_s % _MINUTE_S
        elif steady_s >= self._ends_at:
            passed = int((steady_s - self._ends_at) // _MINUTE_S) + 1
            self._number += passed
            self._ends_at += passed * _MINUTE_S
        return self._number

    def left_s(self) -> int:
        """Whole seconds until the present minute ends."""
        return max(1, ceil(self._ends_at - self._steady()))
