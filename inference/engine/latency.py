"""Chooses the largest batch, and a short wait if it pays off, so that a target p99 is met."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


class Pace(Protocol):
    """How large batches may be, and how long they wait to fill."""

    learns: bool  # False: `observe` need not be called
    max_batch_rows: int
    wait_s: float

    def observe(self, rows: int, compute_s: float, slowest_s: float, now: float) -> None:
        """Learn from one batch that the cost curve has already seen. `slowest_s`: from its first request to its answers."""


@dataclass(slots=True)
class FixedPace:
    """A batch size and a wait that someone configured."""

    max_batch_rows: int = 32
    wait_s: float = 0.0
    learns: bool = False

    def observe(self, rows: int, compute_s: float, slowest_s: float, now: float) -> None:
        pass


class CostCurve:
    """Run time by batch size: measured on the warm-up ladder, updated by every run."""

    WEIGHT = 0.05
    SPREAD_OF_P99 = 3.0  # mean deviations above the mean; 2.9 for a normal distribution
    FOLLOW = 8  # runs between two updates of the sizes that do not run

    def __init__(self, ladder_s: Mapping[int, float]) -> None:
        if not ladder_s or any(rows < 1 or seconds < 0 for rows, seconds in ladder_s.items()):
            raise ValueError("A cost curve needs one or more measured batch sizes.")
        self.sizes = sorted(ladder_s)
        self._ladder = [max(ladder_s[size], 1e-9) for size in self.sizes]
        self._costs = self._ladder.copy()
        self._deviation = 0.0  # relative to the mean, over all sizes
        self._runs = 0

    def mean_s(self, rows: int) -> float:
        """Expected run time, interpolated linearly between the ladder's sizes."""
        sizes, costs = self.sizes, self._costs
        if rows >= sizes[-1]:
            return costs[-1] * rows / sizes[-1]
        above = bisect_left(sizes, rows)
        if above == 0:
            return costs[0]
        share = (rows - sizes[above - 1]) / (sizes[above] - sizes[above - 1])
        return costs[above - 1] + share * (costs[above] - costs[above - 1])

    def p99_s(self, rows: int) -> float:
        return self.mean_s(rows) * (1 + self.SPREAD_OF_P99 * self._deviation)

    def is_within(self, rows: int, *, mean_s: float, p99_s: float) -> bool:
        """Whether a run is expected to take less than `mean_s`, and less than `p99_s` at p99."""
        mean = self.mean_s(rows)
        return mean < mean_s and mean * (1 + self.SPREAD_OF_P99 * self._deviation) < p99_s

    def observe(self, rows: int, compute_s: float) -> None:
        """Move the size's cost toward the observed one; from time to time also scale the other sizes, in the ladder's
        proportions. A machine slows down for all sizes, and sizes that do not run would not show that it recovered."""
        surprise = compute_s / self.mean_s(rows) - 1
        self._deviation += self.WEIGHT * (min(abs(surprise), 1.0) - self._deviation)
        own = min(bisect_left(self.sizes, rows), len(self.sizes) - 1)
        self._costs[own] *= 1 + self.WEIGHT * min(surprise, 1.0)  # a single hiccup is not the new cost
        self._runs += 1
        if self._runs % self.FOLLOW == 0:
            slowness = self._costs[own] / self._ladder[own]
            for other, measured in enumerate(self._ladder):
                self._costs[other] += self.WEIGHT * (measured * slowness - self._costs[other])


class TargetPace:
    """Meets a target p99 with the largest batch for which waiting for one run and joining the next is fast enough.

    1. A request that arrives just after a batch started waits for that run and then for its own, so twice the run time
       must fit into the planned share of the target.
    2. If most batches are full, requests wait for more than one run, and larger batches shorten that. Sizes are added
       one by one, as long as a single run fits (or none does, and only the load can decide).
    3. If more than one batch in a hundred was late although batches were not full, the planned share shrinks. While
       none is late, it grows back.
    """

    learns = True
    WINDOW = 256  # batches between two corrections of the share
    LOOK = 32  # batches between two looks at the size
    SHARES = (0.45, 0.9)  # of the target, at least and at most

    def __init__(self, target_p99_s: float, curve: CostCurve, *, most_rows: int | None = None) -> None:
        """`most_rows`: the limit for merged runs, even if the curve knows larger ones."""
        self.target_p99_s = target_p99_s
        self.curve = curve
        self._sizes = [size for size in curve.sizes if most_rows is None or size <= most_rows]
        self.wait_s = 0.0
        self._share = self.SHARES[1]
        self._added = 0
        self._batches = self._late = self._full = self._lately_full = 0
        self._trial = WaitTrial()
        self.max_batch_rows = self._largest()

    def observe(self, rows: int, compute_s: float, slowest_s: float, now: float) -> None:
        is_full = rows >= self.max_batch_rows
        self._batches += 1
        self._late += slowest_s > self.target_p99_s
        self._lately_full += is_full
        if self._batches % self.LOOK == 0:
            self._look()
        slack_s = self._share * self.target_p99_s - 2 * self.curve.p99_s(self.max_batch_rows)
        longest_s = 0.0 if is_full else max(0.0, min(slack_s, self.curve.mean_s(rows) / 4))
        self.wait_s = self._trial.observe(rows, compute_s, now, longest_s)

    def _look(self) -> None:
        self._added = self._added + 1 if self._lately_full > self.LOOK / 2 else max(0, self._added - 1)
        self._full += self._lately_full
        self._lately_full = 0
        if self._batches >= self.WINDOW:
            least, most = self.SHARES
            if self._late > self._batches / 100 and self._full < self._batches / 2:
                self._share = max(least, self._share * 0.9)
            elif not self._late:
                self._share = min(most, self._share * 1.05)
            self._batches = self._late = self._full = 0
        self.max_batch_rows = self._largest()

    def _largest(self) -> int:
        sizes, budget_s = self._sizes, self._share * self.target_p99_s
        behind_another = sum(2 * self.curve.p99_s(size) <= budget_s for size in sizes)
        by_itself = sum(self.curve.p99_s(size) <= budget_s for size in sizes) or len(
            sizes
        )  # none: load decides
        self._added = min(self._added, by_itself - behind_another)
        return sizes[max(0, behind_another + self._added - 1)]


class WaitTrial:
    """Tries a short wait for an epoch if the slot is busy, and keeps it only while more rows are answered that way.

    Callers who send the next request when they have their answer come back together. If a large batch costs little more
    than a small one, one run that waits for all of them beats two runs with half of them each. Under any other load
    waiting gains nothing, and only an experiment can tell.
    """

    EPOCH_S = 0.25
    GAIN = 1.05
    LONGEST_PAUSE = 64  # epochs between two failed trials

    def __init__(self) -> None:
        self.kept_s = 0.0
        self._tried_s: float | None = None
        self._base_rate = 0.0
        self._pause = self._until_trial = 4
        self._began_at: float | None = None
        self._rows = 0
        self._busy_s = 0.0

    def observe(self, rows: int, compute_s: float, now: float, longest_s: float) -> float:
        """Count a batch; return the wait to use. `longest_s`: the longest wait that the target allows; 0 forbids waiting."""
        if self._began_at is None:
            self._began_at = now
        self._rows += rows
        self._busy_s += compute_s
        elapsed_s = now - self._began_at
        if elapsed_s >= self.EPOCH_S:
            self._end_epoch(self._rows / elapsed_s, self._busy_s / elapsed_s, longest_s)
            self._began_at, self._rows, self._busy_s = now, 0, 0.0
        wait_s = self.kept_s if self._tried_s is None else self._tried_s
        return max(0.0, min(wait_s, longest_s))

    def _end_epoch(self, rate: float, busy: float, longest_s: float) -> None:
        if self._tried_s is not None:
            # Not waiting is the safe choice, so it only has to be about as good.
            needed = self.GAIN if self._tried_s else 1 / self.GAIN
            if rate >= needed * self._base_rate:
                self.kept_s, self._pause = self._tried_s, 4
            else:
                self._pause = min(2 * self._pause, self.LONGEST_PAUSE)
            self._tried_s, self._until_trial = None, self._pause
            return
        self._base_rate = rate
        self._until_trial -= 1
        if self._until_trial <= 0 and (self.kept_s or (busy > 0.7 and longest_s > 0)):
            self._tried_s = 0.0 if self.kept_s else longest_s
