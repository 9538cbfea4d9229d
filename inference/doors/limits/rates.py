"""Rates, and whose limits apply to a request. Tokens are spent from memory, and fetched in blocks from the shared counter.

A block is a tenth of a process's equal part of the rate. In each minute a process may spend one block on credit, before the
counter has answered. So all processes together exceed a rate by at most one block each.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

from inference.errors import TooManyRequests
from inference.serving.routes import Route
from registry.access.key_ring import Principal
from registry.access.limits import NO_LIMITS, CallerLimits

BLOCKS = 10
MOST_SUBJECTS = 10_000
_MINUTE_S = 60


class LimitSubject(NamedTuple):
    """A key, tenant or Model with limits, under the name that the caller knows."""

    kind: str
    id: int
    name: str
    limits: CallerLimits

    @property
    def counter_key(self) -> str:
        return f"{self.kind}:{self.id}"

    @property
    def rate(self) -> int:
        return self.limits.rate_per_minute or 0

    @property
    def is_exact(self) -> bool:
        return self.limits.is_exact and self.limits.rate_per_minute is not None

    def __str__(self) -> str:
        return f"The {self.kind} {self.name!r}"


def limit_subjects(by: Principal, route: Route) -> tuple[LimitSubject, ...]:
    """The subjects with limits. Usually there are none, and that case must be cheap."""
    key, tenant, model = by.limits, by.tenant_limits, route.limits
    if (
        key.rate_per_minute is None
        and key.concurrency is None
        and tenant.rate_per_minute is None
        and tenant.concurrency is None
        and model.rate_per_minute is None
        and model.concurrency is None
    ):
        return ()
    subjects = (
        LimitSubject("key", by.key_id, by.name, key),
        LimitSubject("tenant", by.tenant_id, by.tenant, tenant),
        LimitSubject("Model", route.model_id, route.slug, model),
    )
    return tuple(subject for subject in subjects if subject.limits != NO_LIMITS)


def rate_spent(subject: LimitSubject, left_s: int) -> TooManyRequests:
    return TooManyRequests(
        f"{subject} has used all {subject.rate:,} requests for this minute. "
        f"Try again in {left_s} s, or ask an administrator for a higher limit.",
        retry_after_s=left_s,
    )


class Minutes:
    """The minutes that rates are counted in: those of the wall clock, which processes share.

    If the wall clock is set back, no minute repeats or lasts longer: the steady clock ends it. Not thread-safe.
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
        """Whole seconds until the current minute ends."""
        return max(1, ceil(self._ends_at - self._steady()))


class TokenRequest(NamedTuple):
    """What to take from the shared counter."""

    subject: str
    minute: int
    amount: int
    limit: int


@dataclass(slots=True)
class Allowance:
    """What this process may spend of one rate in one minute."""

    minute: int
    limit: int
    credit: int  # may be spent before the counter has answered
    granted: int = 0
    spent: int = 0
    exhausted_at: int = -1  # the limit at which the counter had no tokens left

    @property
    def left(self) -> int:
        return self.granted + self.credit - self.spent

    @property
    def is_exhausted(self) -> bool:
        return self.limit <= self.exhausted_at


class Tokens:
    """This process's allowances. The owner holds `lock` while it calls `check`, `spend` and `give_back`."""

    def __init__(
        self, *, processes: int, minutes: Minutes, lock: threading.Lock, most_subjects: int = MOST_SUBJECTS
    ) -> None:
        self._processes, self._minutes, self._lock = processes, minutes, lock
        self._most_subjects = most_subjects
        self._allowances: OrderedDict[str, Allowance] = OrderedDict()  # the oldest minute first
        self._wanted: dict[str, None] = {}  # subjects that need tokens, in order
        self._is_alone = True
        self.wanted = threading.Event()

    def check(self, subject: LimitSubject) -> None:
        """Raise when no token is left."""
        allowance = self._current(subject)
        if allowance.left > 0:
            return
        if allowance.is_exhausted:
            raise rate_spent(subject, self._minutes.left_s())
        self._want(subject.counter_key)
        if self._is_alone and self._lend_part(allowance):
            return
        raise TooManyRequests(
            f"{subject} is limited to {subject.rate:,} requests a minute, and this process has used its part of them. "
            "Try again in a second."
        )

    def spend(self, subject: LimitSubject) -> None:
        """Spend a token, after `check`, and request more before they run out."""
        allowance = self._allowances[subject.counter_key]
        allowance.spent += 1
        if not allowance.is_exhausted and 2 * (allowance.granted - allowance.spent) < self._block(
            subject.rate
        ):
            self._want(subject.counter_key)

    def give_back(self, subject: LimitSubject) -> None:
        """Undo `spend`, unless a new minute has begun."""
        allowance = self._allowances.get(subject.counter_key)
        if allowance is not None and allowance.spent:
            allowance.spent -= 1

    def requests(self) -> list[TokenRequest]:
        """What to take from the counter: a full block for each subject, plus what was spent on credit."""
        with self._lock:
            self.wanted.clear()
            wanted = [(subject, self._allowances[subject]) for subject in self._wanted]
            return [
                TokenRequest(
                    subject,
                    allowance.minute,
                    self._block(allowance.limit) + allowance.spent - allowance.granted,
                    allowance.limit,
                )
                for subject, allowance in wanted
            ]

    def settle(self, request: TokenRequest, granted: int) -> None:
        """Add what the counter granted; this ends all credit."""
        with self._lock:
            allowance = self._allowances.get(request.subject)
            if allowance is None:
                return
            if allowance.minute != request.minute:
                self.wanted.set()  # a new minute has begun, which needs its own tokens
                return
            self._wanted.pop(request.subject, None)
            allowance.granted += granted
            allowance.credit = 0
            if granted < request.amount:
                allowance.exhausted_at = request.limit

    def use_local_share(self) -> None:
        """The counter is not responding: spend this process's equal part of every rate."""
        with self._lock:
            self._is_alone = True
            if self._wanted:
                self.wanted.set()

    def use_shared_counter(self) -> None:
        with self._lock:
            self._is_alone = False

    def drop_idle(self) -> int:
        """Forget the allowances of past minutes; return the current minute."""
        with self._lock:
            minute = self._minutes.now()
            while self._allowances and next(iter(self._allowances.values())).minute < minute:
                self._drop_oldest()
            return minute

    def _current(self, subject: LimitSubject) -> Allowance:
        minute = self._minutes.now()
        allowance = self._allowances.get(subject.counter_key)
        if allowance is None or allowance.minute != minute:
            allowance = self._renew(subject, minute)
        allowance.limit = subject.rate  # may change at any time
        return allowance

    def _renew(self, subject: LimitSubject, minute: int) -> Allowance:
        self._allowances.pop(subject.counter_key, None)
        if len(self._allowances) >= self._most_subjects:
            self._drop_oldest()
        allowance = Allowance(minute, subject.rate, credit=min(self._block(subject.rate), subject.rate))
        self._allowances[subject.counter_key] = allowance
        return allowance

    def _drop_oldest(self) -> None:
        subject, _ = self._allowances.popitem(last=False)
        self._wanted.pop(subject, None)

    def _lend_part(self, allowance: Allowance) -> bool:
        part = ceil(allowance.limit / self._processes)
        allowance.credit = max(allowance.credit, part - allowance.granted)
        return allowance.left > 0

    def _want(self, subject: str) -> None:
        if subject not in self._wanted:
            self._wanted[subject] = None
            self.wanted.set()

    def _block(self, rate: int) -> int:
        return max(1, rate // (BLOCKS * self._processes))
