"""How long a verdict takes, although people are called away in the middle of one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEAST_VERDICTS = 10
_DEVIATIONS = 3.0
_LEAST_DEVIATION = (
    0.35  # of the logarithm, so that a time of less than about three medians never counts as a pause
)


@dataclass(frozen=True, slots=True)
class VerdictTime:
    """Seconds per verdict. Both figures are None with fewer than 10 verdicts.

    `mean_s` is for planning hours. `pauses`: how many times were too long to be one verdict, and counted as `longest_s`.
    """

    median_s: float | None
    mean_s: float | None
    longest_s: float | None
    pauses: int
    count: int


def measure_handling_time(seconds: Sequence[float]) -> VerdictTime:
    """From the seconds of active viewing of each verdict.

    Times of people are skewed: on a logarithmic scale, those that are more than three robust deviations above the
    median are pauses. They are shortened, not dropped: the verdict did take a long time.
    """
    times = np.asarray(seconds, float)
    if not np.all((times >= 0) & np.isfinite(times)):
        raise ValueError("Seconds are finite and not negative.")
    if len(times) < LEAST_VERDICTS:
        return VerdictTime(None, None, None, 0, len(times))
    logs = np.log1p(times)
    median = np.median(logs)
    deviation = max(1.4826 * float(np.median(np.abs(logs - median))), _LEAST_DEVIATION)
    longest = float(np.expm1(median + _DEVIATIONS * deviation))
    return VerdictTime(
        median_s=float(np.median(times)),
        mean_s=float(np.minimum(times, longest).mean()),
        longest_s=longest,
        pauses=int(np.count_nonzero(times > longest)),
        count=len(times),
    )
