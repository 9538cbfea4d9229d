"""Reads about cases and queues."""

import re
from collections.abc import Collection
from datetime import datetime
from typing import TypeVar

from django.db.models import Case as Choose
from django.db.models import (
    Exists,
    ExpressionWrapper,
    F,
    FloatField,
    IntegerField,
    Model,
    OuterRef,
    Q,
    QuerySet,
    Value,
    When,
)

from moderation.cases.models import Case, CaseItem, CaseSource, Guideline, ReviewQueue
from moderation.cases.transitions import CaseStatus
from moderation.deciding.models import Decision
from moderation.deciding.selectors import decisions_matching, decisions_of_author
from moderation.rights import ModerationRight
from registry.kit.actors import Actor

Row = TypeVar("Row", bound=Model)

# Detectors that failed come back by themselves, and escalated cases are for leads.
CASES_FOR_ANYBODY = Q(is_escalated=False) & ~Q(source=CaseSource.FAILURE)
ESCALATED_CASES = Q(is_escalated=True)
_NUMBER = re.compile(r"(?:case\s*)?#?\s*(?P<number>[0-9]{1,18})", re.IGNORECASE)
_AHEAD_S = 60.0  # so that a case that was opened this second has an age


def waiting_cases() -> QuerySet[Case]:
    return Case.objects.filter(status=CaseStatus.WAITING)


def cases_without_queue(*, is_lead: bool) -> Q:
    """What people get who choose no queue. Leads get the escalated ones, too, as their queue can be deleted."""
    return CASES_FOR_ANYBODY | ESCALATED_CASES if is_lead else CASES_FOR_ANYBODY


def cases_of(queue: ReviewQueue) -> Q:
    """What the queue takes."""
    wanted = Q(is_escalated=queue.takes_escalated, harm__gte=queue.least_harm)
    wanted &= Q(source__in=queue.sources) if queue.sources else ~Q(source=CaseSource.FAILURE)
    if queue.languages:
        wanted &= Q(language__in=queue.languages)
    if queue.codes:
        wanted &= Q(code__in=queue.codes)
    tenants: Collection[int] = [tenant.pk for tenant in queue.tenants.all()]
    if tenants:
        wanted &= Q(tenant__in=tenants)
    return wanted


def by_urgency(cases: QuerySet[Case], now: datetime) -> QuerySet[Case]:
    """Overdue ones first, then by harm × score × age."""
    age_s = Value(now.timestamp() + _AHEAD_S) - F("opened_s")
    return cases.annotate(
        is_overdue=Choose(
            When(due_at__lte=now, then=Value(1)), default=Value(0), output_field=IntegerField()
        ),
        urgency=ExpressionWrapper(F("weight") * age_s, output_field=FloatField()),
    ).order_by("-is_overdue", "-urgency", "pk")


def sees_restricted(by: Actor) -> bool:
    return ModerationRight.SEE_RESTRICTED in by.rights


def visible_cases(cases: QuerySet[Case], by: Actor) -> QuerySet[Case]:
    """Restricted cases are only there for people with the right to see them, in whatever list or queue they are."""
    return cases if sees_restricted(by) else cases.filter(is_restricted=False)


def about_visible_cases(rows: QuerySet[Row], by: Actor) -> QuerySet[Row]:
    """The same for what is about a case."""
    return rows if sees_restricted(by) else rows.filter(case__is_restricted=False)


def restricted_decisions() -> Q:
    """Decisions whose contents only people with the right to see restricted contents may see.

    Those are in a restricted case, or have a violation that its guideline restricts.
    """
    wanted = Q(Exists(CaseItem.objects.filter(decision=OuterRef("pk"), case__is_restricted=True)))
    for code in Guideline.objects.filter(is_restricted=True).values_list("code", flat=True):
        wanted |= names_code("codes", code)
    return wanted


def hidden_decisions(by: Actor) -> Q | Value:
    """Whether a decision's content is hidden from this person or key. A key has sent the content itself, so it is not."""
    if sees_restricted(by) or by.tenant_id is not None:
        return Value(False)
    return restricted_decisions()


def names_code(column: str, code: str) -> Q:
    """Whether a list of violations in a column names this one. No database that we support indexes such lists alike."""
    return Q(**{f"{column}__icontains": f'"{code}"'})


def cases_matching(within: QuerySet[Case], text: str) -> QuerySet[Case]:
    """By case number, or by an exact request id, content id or author id of a content."""
    decisions = Decision.objects.order_by()
    found = (
        decisions_matching(decisions, text)
        .values("pk")
        .union(decisions_of_author(decisions, text).values("pk"))
    )
    matching = Q(pk__in=CaseItem.objects.filter(decision__in=found).values("case"))
    if number := _NUMBER.fullmatch(text):
        matching |= Q(pk=int(number["number"]))
    return within.filter(matching)
