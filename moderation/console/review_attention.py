"""What the home page says of reviews: overdue cases, appeals and reports, escalated cases, proposed account actions."""

from dataclasses import replace
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone

from moderation.appeals.models import Appeal
from moderation.appeals.transitions import AppealStatus
from moderation.cases.models import Case
from moderation.cases.selectors import about_visible_cases, visible_cases, waiting_cases
from moderation.reports.models import Report
from moderation.reports.transitions import ReportStatus
from moderation.review.models import AccountProposal
from moderation.review.transitions import ProposalStatus
from moderation.rights import ModerationRight
from registry.kit.actors import Actor
from registry.kit.admin.attention import AttentionItem, ItemKind, PageLink, Severity

_COUNTED_AT_MOST = 10_000
_OVERDUE_CASES = ItemKind("lines about overdue cases", "admin:moderation_case_changelist", "?due=overdue")
_ESCALATED = ItemKind(
    "lines about escalated cases",
    "admin:moderation_case_changelist",
    "?status__exact=waiting&is_escalated__exact=1",
)
_OVERDUE_APPEALS = ItemKind(
    "lines about overdue appeals", "admin:moderation_appeal_changelist", "?due=overdue"
)
_OVERDUE_REPORTS = ItemKind(
    "lines about overdue reports", "admin:moderation_report_changelist", "?due=overdue"
)
_PROPOSALS = ItemKind(
    "lines about account actions", "admin:moderation_accountproposal_changelist", "?status__exact=open"
)


def overdue_cases(by: Actor) -> list[AttentionItem]:
    if ModerationRight.REVIEW not in by.rights:
        return []
    overdue = _waiting(by).filter(due_at__lte=timezone.now())
    line = _line(overdue, "due_at", "case is overdue", "cases are overdue", _OVERDUE_CASES, Severity.WARNING)
    return _to_review(line)


def escalated_cases(by: Actor) -> list[AttentionItem]:
    if ModerationRight.LEAD not in by.rights:
        return []
    escalated = _waiting(by).filter(is_escalated=True)
    words = ("escalated case waits for a lead", "escalated cases wait for a lead")
    return _to_review(_line(escalated, "opened_at", *words, _ESCALATED, Severity.NOTICE), "?queue=escalated")


def overdue_appeals(by: Actor) -> list[AttentionItem]:
    if ModerationRight.REVIEW not in by.rights:
        return []
    overdue = _seen(Appeal.objects.filter(status=AppealStatus.OPEN, due_at__lte=timezone.now()), by)
    return _line(
        overdue, "due_at", "appeal is overdue", "appeals are overdue", _OVERDUE_APPEALS, Severity.WARNING
    )


def overdue_reports(by: Actor) -> list[AttentionItem]:
    if ModerationRight.REVIEW not in by.rights:
        return []
    overdue = _seen(Report.objects.filter(status=ReportStatus.OPEN, due_at__lte=timezone.now()), by)
    return _line(
        overdue, "due_at", "report is overdue", "reports are overdue", _OVERDUE_REPORTS, Severity.WARNING
    )


def open_proposals(by: Actor) -> list[AttentionItem]:
    if ModerationRight.LEAD not in by.rights:
        return []
    proposals = AccountProposal.objects.filter(status=ProposalStatus.OPEN)
    words = ("proposed account action waits for a lead", "proposed account actions wait for a lead")
    return _line(proposals, "made_at", *words, _PROPOSALS, Severity.NOTICE)


def _waiting(by: Actor) -> QuerySet[Case]:
    return visible_cases(waiting_cases(), by)


def _seen(rows: QuerySet[Any], by: Actor) -> QuerySet[Any]:
    return about_visible_cases(rows, by)


def _to_review(items: list[AttentionItem], query: str = "") -> list[AttentionItem]:
    """With a link to the page on which they are decided."""
    return [replace(item, action=PageLink("Review", reverse("review") + query)) for item in items]


def _line(
    rows: QuerySet[Any], since: str, one: str, many: str, kind: ItemKind, severity: Severity
) -> list[AttentionItem]:
    """One line about all of them, since the one that has waited longest; nothing if there is none."""
    oldest = rows.order_by(since).values_list(since, flat=True).first()
    if oldest is None:
        return []
    count = rows.order_by().values("pk")[: _COUNTED_AT_MOST + 1].count()
    said = f"{count:,}" if count <= _COUNTED_AT_MOST else f"More than {_COUNTED_AT_MOST:,}"
    return [
        AttentionItem(
            kind=kind,
            severity=severity,
            sentence=f"{said} {one if count == 1 else many}.",
            link=kind.address,
            since=oldest,
        )
    ]
