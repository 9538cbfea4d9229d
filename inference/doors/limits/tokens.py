"""Tokens of rates: spent from memory, fetched in blocks from the counter that all processes share.

A block is a tenth of a process's even part of the rate. In each minute a process may spend one block on credit,
before the counter has answered: so all together exceed a rate by at most one block each.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

from inference.doors.limits.limited import Limited, rate_spent
from inference.doors.limits.minutes import Minutes
from inference.errors import TooManyRequests

BLOCKS = 10
MOST_SUBJECTS = 10_000


class Ask(NamedTuple):
    """What the shared counter is asked for."""

    subject: str
    minute: int
    amount: int
    limit: int


@dataclass(slots=True)
class Allowance:
    """What this process may spend of one rate in one minute."""

    minute: int
    limit: int
    credit: int  # may be spent before the counter answers
    granted: int = 0
    spent: int = 0
    exhausted_at: int = -1  # the limit at which the counter had nothing more to give

    @property
    def left(self) -> int:
        return self.granted + self.credit - self.spent

    @property
    def is_exhausted(self) -> bool:
        return self.limit <= self.exhausted_at


class Tokens:
    """This process's allowances. `lock` is the owner's: it calls `check`, `spend` and `give_back` holding it."""

    def __init__(
        self, *, processes: int, minutes: Minutes, lock: threading.Lock, most_subjects: int = MOST_SUBJECTS
    ) -> None:
        self._processes, self._minutes, self._lock = processes, minutes, lock
        self._most_subjects = most_subjects
        self._allowances: OrderedDict[str, Allowance] = OrderedDict()  # those of the oldest minute first
        self._asking: dict[str, None] = {}  # subjects, in the order of their wishes
        self._is_alone = True
        self.wanted = threading.Event()

    def check(self, one: Limited) -> None:
        """Raise when no token is left."""
        allowance = self._present(one)
        if allowance.left > 0:
            return
        if allowance.is_exhausted:
            raise rate_spent(one, self._minutes.left_s())
        self._want(one.subject)
        if self._is_alone and self._lend_part(allowance):
            return
        raise TooManyRequests(
            f"{one} may send {one.rate:,} requests a minute, and this process has used what it had of them. "
            "Send again in a second."
        )

    def spend(self, one: Limited) -> None:
        """Take one, after `check`; ask for more in time."""
        allowance = self._allowances[one.subject]
        allowance.spent += 1
        if not allowance.is_exhausted and 2 * (allowance.granted - allowance.spent) < self._block(one.rate):
            self._want(one.subject)

    def give_back(self, one: Limited) -> None:
        """Undo `spend`; where a new minute has begun since, there is nothing to undo."""
        allowance = self._allowances.get(one.subject)
        if allowance is not None and allowance.spent:
            allowance.spent -= 1

    def asks(self) -> list[Ask]:
        """What to ask the counter for: a full block each, and what was spent on credit."""
        with self._lock:
            self.wanted.clear()
            wishes = [(subject, self._allowances[subject]) for subject in self._asking]
            return [
                Ask(subject, its.minute, self._block(its.limit) + its.spent - its.granted, its.limit)
                for subject, its in wishes
            ]

    def settle(self, ask: Ask, granted: int) -> None:
        """Take the counter's answer in; it ends all credit."""
        with self._lock:
            allowance = self._allowances.get(ask.subject)
            if allowance is None:
                return
            if allowance.minute != ask.minute:
                self.wanted.set()  # a new minute began meanwhile, and wants its own answer
                return
            self._asking.pop(ask.subject, None)
            allowance.granted += granted
            allowance.credit = 0
            if granted < ask.amount:
                allowance.exhausted_at = ask.limit

    def go_alone(self) -> None:
        """The counter does not answer: from now on this process spends its even part of every rate."""
        with self._lock:
            self._is_alone = True
            if self._asking:
                self.wanted.set()

    def go_together(self) -> None:
        with self._lock:
            self._is_alone = False

    def drop_idle(self) -> int:
        """Forget the allowances of past minutes; return the present one."""
        with self._lock:
            minute = self._minutes.now()
            while self._allowances and next(iter(self._allowances.values())).minute < minute:
                self._drop_oldest()
            return minute

    def _present(self, one: Limited) -> Allowance:
        minute = self._minutes.now()
        allowance = self._allowances.get(one.subject)
        if allowance is None or allowance.minute != minute:
            allowance = self._renew(one, minute)
        allowance.limit = one.rate  # may be changed at any time; what was granted and spent stays true
        return allowance

    def _renew(self, one: Limited, minute: int) -> Allowance:
        self._allowances.pop(one.subject, None)
        if len(self._allowances) >= self._most_subjects:
            self._drop_oldest()
        allowance = Allowance(minute, one.rate, credit=min(self._block(one.rate), one.rate))
        self._allowances[one.subject] = allowance
        return allowance

    def _drop_oldest(self) -> None:
        subject, _ = self._allowances.popitem(last=False)
        self._asking.pop(subject, None)

    def _lend_part(self, allowance: Allowance) -> bool:
        part = ceil(allowance.limit / self._processes)
        allowance.credit = max(allowance.credit, part - allowance.granted)
        return allowance.left > 0

    def _want(self, subject: str) -> None:
        if subject not in self._asking:
            self._asking[subject] = None
            self.wanted.set()

    def _block(self, rate: int) -> int:
        return max(1, rate // (BLOCKS * self._processes))
