"""What the home page says of cases: overdue ones, and escalated ones that wait for a lead."""

from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone

from moderation.cases.models import Case
from moderation.cases.selectors import CASES_FOR_ANYBODY, visible_cases, waiting_cases
from moderation.rights import ModerationRight
from registry.kit.actors import Actor
from registry.kit.admin.attention import AttentionItem, ItemKind, PageLink, Severity

_COUNTED_AT_MOST = 10_000
_OVERDUE = ItemKind("groups of overdue cases", "review")
_ESCALATED = ItemKind("groups of escalated cases", "review", "?queue=escalated")


def overdue_cases(by: Actor) -> list[AttentionItem]:
    """Cases that waited beyond their deadline, for those who can decide them."""
    if ModerationRight.REVIEW not in by.rights:
        return []
    late = _visible(by).filter(CASES_FOR_ANYBODY, due_at__lte=timezone.now()).order_by("due_at")
    first = late.first()
    if first is None:
        return []
    count = late.order_by().values("pk")[: _COUNTED_AT_MOST + 1].count()
    many = (
        f"{count:,} cases are" if count <= _COUNTED_AT_MOST else f"More than {_COUNTED_AT_MOST:,} cases are"
    )
    return [
        AttentionItem(
            kind=_OVERDUE,
            severity=Severity.WARNING,
            sentence=f"{'1 case is' if count == 1 else many} overdue.",
            link=_OVERDUE.address,
            since=first.due_at,
            action=PageLink("Review", reverse("review")),
        )
    ]


def escalated_cases(by: Actor) -> list[AttentionItem]:
    """Cases that reviewers left to a lead, for leads."""
    if not {ModerationRight.REVIEW, ModerationRight.LEAD} <= by.rights:
        return []
    waiting = _visible(by).filter(is_escalated=True, assigned_to=None).order_by("opened_at")
    oldest = waiting.first()
    if oldest is None:
        return []
    count = waiting.count()
    return [
        AttentionItem(
            kind=_ESCALATED,
            severity=Severity.NOTICE,
            sentence="An escalated case waits for a lead."
            if count == 1
            else f"{count:,} escalated cases wait for a lead.",
            notes=[f"The oldest: “{oldest.note}”"] if oldest.note else [],
            link=_ESCALATED.address,
            since=oldest.opened_at,
            action=PageLink("Review", _ESCALATED.address),
        )
    ]


def _visible(by: Actor) -> QuerySet[Case]:
    return visible_cases(waiting_cases(), sees_restricted=ModerationRight.SEE_RESTRICTED in by.rights)
