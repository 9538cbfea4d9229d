"""Queues: changing them, and what waits in each."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import NamedTuple

from django.db import transaction
from django.db.models import Count, Min, Q, QuerySet

from moderation.cases.languages import check_language
from moderation.cases.models import Case, CaseSource, Harm, ReviewQueue
from moderation.cases.selectors import cases_of
from moderation.rights import ModerationRight
from registry.access.models import Tenant
from registry.catalogue.validation import check_row
from registry.errors import Conflict, Invalid, NameTaken
from registry.kit.actors import Actor
from registry.record.audit import record_change, subject_of


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """Which waiting cases a queue has. An empty list takes all."""

    title: str
    sources: Sequence[str] = ()
    languages: Sequence[str] = ()
    codes: Sequence[str] = ()
    tenants: Sequence[Tenant] = ()
    takes_escalated: bool = False
    least_harm: int = Harm.LOW
    place: int = 100


class WaitingCount(NamedTuple):
    """What waits now; `oldest_at` is when the case was opened that has waited longest."""

    waiting: int
    overdue: int
    oldest_at: datetime | None


def count_by_queue(cases: QuerySet[Case], now: datetime) -> list[tuple[ReviewQueue, WaitingCount]]:
    """What waits in each queue, of these cases."""
    return [
        (queue, count_waiting(cases.filter(cases_of(queue)), now))
        for queue in ReviewQueue.objects.prefetch_related("tenants")
    ]


def count_waiting(cases: QuerySet[Case], now: datetime) -> WaitingCount:
    return WaitingCount(
        **cases.order_by().aggregate(
            waiting=Count("pk"), overdue=Count("pk", filter=Q(due_at__lte=now)), oldest_at=Min("opened_at")
        )
    )


@transaction.atomic
def create_queue(*, name: str, values: QueueSettings, by: Actor) -> ReviewQueue:
    by.check(ModerationRight.LEAD)
    if ReviewQueue.objects.filter(name=name).exists():
        raise NameTaken(f"There is already a queue named {name}; choose another name.")
    queue = ReviewQueue(name=name)
    _save(queue, values)
    record_change(action="create_queue", subject=queue, before=None, after=_audit_fields(queue), by=by)
    return queue


@transaction.atomic
def change_queue(*, queue: ReviewQueue, values: QueueSettings, by: Actor) -> ReviewQueue:
    by.check(ModerationRight.LEAD)
    row = ReviewQueue.objects.select_for_update().get(pk=queue.pk)
    if row.takes_escalated and not values.takes_escalated:
        _check_another_takes_escalated(row)
    before = _audit_fields(row)
    _save(row, values)
    record_change(action="change_queue", subject=row, before=before, after=_audit_fields(row), by=by)
    return row


@transaction.atomic
def remove_queue(*, queue: ReviewQueue, by: Actor) -> None:
    """Delete a queue. Its cases stay, and wait in the other queues."""
    by.check(ModerationRight.LEAD)
    row = ReviewQueue.objects.select_for_update().get(pk=queue.pk)
    if row.takes_escalated:
        _check_another_takes_escalated(row)
    subject, before = subject_of(row), _audit_fields(row)
    row.delete()
    record_change(action="remove_queue", subject=subject, before=before, after=None, by=by)


def _check_another_takes_escalated(queue: ReviewQueue) -> None:
    if not ReviewQueue.objects.filter(takes_escalated=True).exclude(pk=queue.pk).exists():
        raise Conflict(
            f"“{queue}” is the only queue for leads, and escalated cases are in no other. Make another one for leads first."
        )


def _save(queue: ReviewQueue, values: QueueSettings) -> None:
    if unknown := sorted(set(values.sources) - set(CaseSource.values)):
        raise Invalid(f"There is no source {unknown[0]!r}; sources are {', '.join(CaseSource.values)}.")
    for language in values.languages:
        check_language(language)
    for column in fields(values):
        value = getattr(values, column.name)
        if column.name != "tenants":
            setattr(queue, column.name, list(value) if isinstance(value, (list, tuple)) else value)
    check_row(queue)
    queue.save()
    queue.tenants.set(values.tenants)


def _audit_fields(queue: ReviewQueue) -> dict[str, object]:
    return {
        "title": queue.title,
        "sources": queue.sources,
        "languages": queue.languages,
        "violations": queue.codes,
        "tenants": sorted(tenant.slug for tenant in queue.tenants.all()),
        "for_leads": queue.takes_escalated,
        "least_harm": Harm(queue.least_harm).label.lower(),
        "place": queue.place,
    }
