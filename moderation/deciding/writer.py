"""Writes decisions in the background, many in one transaction. Whoever must be sure waits for the commit."""

import threading
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

import structlog
from django.db import DatabaseError, transaction
from django.db.models import F

from moderation.deciding.judgements import Judgement
from moderation.deciding.models import Decision, StoredContent, StoredPicture
from moderation.errors import WritesBehind
from moderation.policies.models import RuleDay
from moderation.policies.rules import RuleEffect, Ruling
from registry.kit.inserts import insert_rows
from registry.kit.loops import DATABASE_AWAY, Backoff, Loop, ThreadGroup

log = structlog.get_logger("roundhouse.moderation")

_ROOM = 10_000  # decisions that may wait
_ROOM_BYTES = 256 << 20
_AT_ONCE, _BYTES_AT_ONCE = 500, 16 << 20
_EVERY_S, _COUNTS_EVERY_S = 0.1, 2.0
_BACKOFF = Backoff(first_s=0.2, longest_s=5.0)
_COLUMNS = {RuleEffect.NOTE: "noted", RuleEffect.REVIEW: "reviewed", RuleEffect.BLOCK: "blocked"}


class RuleUse(NamedTuple):
    policy_id: int
    rule: str
    day: date
    is_shadow: bool


@dataclass(slots=True)
class DecisionRows:
    """The rows of one decision. `overtakes`: the held one that it replaces; written only if that is still held."""

    decision: Decision
    content: StoredContent
    pictures: Sequence[StoredPicture]
    nbytes: int
    overtakes: UUID | None = None
    written: Future[bool] = field(default_factory=Future)
    is_done: bool = False


class DecisionWriter:
    """Thread-safe. Allowed contents do not wait for it; all others are answered once their rows are committed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[DecisionRows] = deque()
        self._bytes = 0
        self._counts: dict[RuleUse, Counter[str]] = {}
        self._threads = ThreadGroup(
            "decisions",
            Loop("decisions", self.write, _EVERY_S, "decisions are answered late or not at all", _BACKOFF),
            Loop("counts of rules", self.write_counts, _COUNTS_EVERY_S, is_woken=False),
        )

    def start(self) -> None:
        self._threads.start()

    def stop(self) -> None:
        """Write what is waiting; called when no request is left."""
        self._threads.stop()
        try:
            while self.write():
                pass
            self.write_counts()
        except DatabaseError as error:
            log.error("decisions were not written", waiting=len(self._waiting), reason=str(error))

    def check_room(self) -> None:
        """Raise WritesBehind if no more decisions can wait."""
        if len(self._waiting) >= _ROOM or self._bytes >= _ROOM_BYTES:
            raise WritesBehind

    def add(self, rows: DecisionRows) -> "Future[bool]":
        """Have the decision written soon. The future tells whether it was, once it is committed."""
        with self._lock:
            self._waiting.append(rows)
            self._bytes += rows.nbytes
        if rows.decision.ruling != Ruling.ALLOW or len(self._waiting) >= _AT_ONCE:
            self._threads.wake()
        return rows.written

    def count(self, policy_id: int, judgement: Judgement, at: datetime) -> None:
        """Count which rules found something in a content."""
        strongest: dict[tuple[str, bool], RuleEffect] = {}
        for one in judgement.evidence:  # gravest first
            strongest.setdefault((one.rule, one.is_shadow), one.effect)
        if not strongest:
            return
        grave = [
            rule
            for (rule, is_shadow), effect in strongest.items()
            if not is_shadow and effect.ruling == judgement.ruling
        ]
        with self._lock:
            for (rule, is_shadow), effect in strongest.items():
                counts = self._counts.setdefault(RuleUse(policy_id, rule, at.date(), is_shadow), Counter())
                counts[_COLUMNS[effect]] += 1
                counts["decisive"] += grave == [rule] and not is_shadow and effect is not RuleEffect.NOTE

    def write(self) -> bool:
        """Write the oldest decisions; return whether there are more."""
        with self._lock:
            batch = self._next_batch()
        if not batch:
            return False
        try:
            self._write_all(batch)
        except BaseException:
            with self._lock:
                self._waiting.extendleft(rows for rows in reversed(batch) if not rows.is_done)
            raise
        return bool(self._waiting)

    def _next_batch(self) -> list[DecisionRows]:
        """The oldest ones, as many as fit into a transaction that holds up no other writer for long."""
        batch: list[DecisionRows] = []
        held = 0
        while (
            self._waiting
            and len(batch) < _AT_ONCE
            and (not batch or held + self._waiting[0].nbytes <= _BYTES_AT_ONCE)
        ):
            batch.append(self._waiting.popleft())
            held += batch[-1].nbytes
        return batch

    def _write_all(self, batch: Sequence[DecisionRows]) -> None:
        try:
            written = _write(batch)
        except DATABASE_AWAY:
            raise
        except DatabaseError as error:
            if len(batch) > 1:  # the others are not to wait for the one that the database refuses
                for rows in batch:
                    self._write_all([rows])
                return
            if Decision.objects.filter(pk=batch[0].decision.pk).exists():  # its commit had succeeded before
                self._done(batch[0], True)
                return
            log.error("the database refuses a decision", decision=str(batch[0].decision.pk), exc_info=error)
            self._done(batch[0], error)
            return
        for rows in batch:
            self._done(rows, rows.decision.pk in written)

    def _done(self, rows: DecisionRows, result: bool | Exception) -> None:
        rows.is_done = True
        with self._lock:
            self._bytes -= rows.nbytes
        if not rows.written.set_running_or_notify_cancel():
            return
        if isinstance(result, Exception):
            rows.written.set_exception(result)
        else:
            rows.written.set_result(result)

    def write_counts(self) -> None:
        with self._lock:
            counts, self._counts = self._counts, {}
        try:
            with transaction.atomic():
                for use in sorted(counts):  # one order in all processes, or they would deadlock
                    _add_counts(use, counts[use])
        except BaseException:
            with self._lock:
                for use, more in counts.items():
                    self._counts.setdefault(use, Counter()).update(more)
            raise


def _add_counts(use: RuleUse, counts: Counter[str]) -> None:
    added = {column: F(column) + number for column, number in counts.items()}
    days = RuleDay.objects.filter(**use._asdict())
    if not days.update(**added):
        RuleDay.objects.bulk_create([RuleDay(**use._asdict())], ignore_conflicts=True)
        days.update(**added)


def _write(batch: Sequence[DecisionRows]) -> set[UUID]:
    """Write all of them in one transaction; return the ids of those that were written."""
    with transaction.atomic():
        kept = [rows for rows in batch if rows.overtakes is None or _overtake(rows.overtakes)]
        insert_rows([rows.decision for rows in kept])
        insert_rows([rows.content for rows in kept])
        StoredPicture.objects.bulk_create(_pictures_of(kept))
    return {rows.decision.pk for rows in kept}


def _overtake(held: UUID) -> bool:
    """Take the held decision out of the queue, with its content, which the new one has; False if somebody else did."""
    if not Decision.objects.filter(pk=held, is_held=True).update(is_held=False, next_try_at=None):
        return False
    StoredContent.objects.filter(decision=held).delete()
    StoredPicture.objects.filter(decision=held).delete()
    return True


def _pictures_of(batch: Iterable[DecisionRows]) -> list[StoredPicture]:
    return [picture for rows in batch for picture in rows.pictures]
