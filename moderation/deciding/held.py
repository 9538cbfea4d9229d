"""Contents that were held because a detector failed: they are decided again by themselves when it is back."""

import time
from collections.abc import Sequence
from datetime import timedelta

import structlog
from django.db import DatabaseError
from django.db.models import F
from django.utils import timezone

from inference.serving import runtime
from moderation.deciding import process
from moderation.deciding.models import Decision
from moderation.deciding.selectors import held_decisions, newer_decisions
from moderation.deciding.services import decide_again, policy_for, store
from moderation.errors import NoPolicy, PolicyUnreadable, WritesBehind
from registry.record import leases
from registry.record.leases import HeldLease

log = structlog.get_logger("roundhouse.moderation")

_LEASE, _LEASE_S = "moderation.held", 60.0
_STORE_WITHIN_S = 30.0
_FIRST, _AT_ONCE = 8, 200  # a few first: while the detector is down, more would only cost time
_PAUSE, _LONGEST_PAUSE = timedelta(seconds=10), timedelta(minutes=5)
_GIVE_UP_AFTER = timedelta(days=2)  # from then on a person has to decide


def decide_held(*, within_s: float = 50.0) -> int:
    """Decide due contents again, as long as detectors answer; return how many were decided. One process at a time does this."""
    with leases.held(_LEASE, for_s=_LEASE_S) as lease:
        return _decide_held(lease, time.monotonic() + within_s) if lease is not None else 0


def _decide_held(lease: HeldLease, ends_at: float) -> int:
    _drop_superseded()
    decided, at_once = 0, _FIRST
    while time.monotonic() < ends_at:
        batch = list(held_decisions().select_related("content").prefetch_related("pictures")[:at_once])
        if not batch:
            break
        done = _decide_batch(batch)
        decided += done
        if done == 0:  # the rest would most likely fail in the same way
            break
        at_once = _AT_ONCE
        lease.renew()
    if decided:
        log.info("held contents were decided", count=decided)
    return decided


def _decide_batch(batch: Sequence[Decision]) -> int:
    deciding, loop = process.started(), runtime.started().loop
    covered = [decision for decision in batch if _has_policy(decision)]
    _postpone([decision for decision in batch if decision not in covered])
    again = loop.wait_for(decide_again(covered)) if covered else []
    ready = [one for one in again if not one.decision.is_held]
    _postpone([one.decision.redecides for one in again if one.decision.is_held and one.decision.redecides])
    try:
        written = loop.wait_for(store(deciding.writer, ready, time.monotonic() + _STORE_WITHIN_S))
    except (DatabaseError, WritesBehind) as error:
        log.warning("held contents could not be stored", reason=str(error))
        _postpone(batch)
        return 0
    for one, was_written in zip(ready, written, strict=True):
        if was_written:
            deciding.writer.count(one.policy.policy_id, one.judgement, one.decision.received_at)
    return len(ready)


def _has_policy(decision: Decision) -> bool:
    try:
        policy_for(decision)
    except (NoPolicy, PolicyUnreadable):
        return False
    return True


def _postpone(held: Sequence[Decision]) -> None:
    """Each waits longer than the time before; after two days it is a person's."""
    now = timezone.now()
    for decision in held:
        row = Decision.objects.filter(pk=decision.pk, is_held=True)
        if now - decision.received_at > _GIVE_UP_AFTER:
            row.update(is_held=False, next_try_at=None)
        else:
            pause = min(_PAUSE * 2 ** min(decision.tries, 10), _LONGEST_PAUSE)
            row.update(tries=F("tries") + 1, next_try_at=now + pause)


def _drop_superseded() -> None:
    """Contents whose authors have changed them since are not decided again."""
    held_decisions(due_only=False).filter(newer_decisions()).update(is_held=False, next_try_at=None)
