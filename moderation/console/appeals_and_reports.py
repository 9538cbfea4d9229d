"""Appeals and reports: lists, overdue ones first, and pages. People answer them by deciding their cases."""

from typing import Any

from django.contrib import admin
from django.db.models import BooleanField, F, Q, QuerySet, Value, When
from django.db.models import Case as Choose
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from moderation.appeals.models import Appeal
from moderation.appeals.transitions import AppealStatus
from moderation.cases.selectors import about_visible_cases
from moderation.console.case_page import VERDICT_TONES, who_decided, without_hidden_verdicts
from moderation.policies.rules import Ruling
from moderation.reports.models import Report
from moderation.reports.services import reporter_record
from moderation.reports.transitions import ReportStatus
from moderation.rights import ModerationRight
from registry.kit.admin.columns import Tone, badge, state_column, text_column
from registry.kit.admin.facts import ago, when
from registry.kit.admin.pages import OwnPage, exact_filter
from registry.kit.admin.theme import DropdownFilter, ModelAdmin, PeriodFilter, actor, display

APPEAL_TONES = {
    AppealStatus.OPEN: Tone.BUSY, AppealStatus.CONFIRMED: Tone.GOOD, AppealStatus.OVERTURNED: Tone.WARN,
    AppealStatus.DISMISSED: Tone.IDLE,
}  # fmt: skip
REPORT_TONES = {
    ReportStatus.OPEN: Tone.BUSY, ReportStatus.ACTION: Tone.BAD, ReportStatus.NO_ACTION: Tone.GOOD,
    ReportStatus.DISMISSED: Tone.IDLE,
}  # fmt: skip
_OPEN = "open"  # of both


class OverdueAnswersFilter(DropdownFilter):
    title = "deadline"
    parameter_name = "due"

    def lookups(self, _request: HttpRequest, _page: Any) -> list[tuple[str, str]]:
        return [("overdue", "Overdue"), ("ahead", "Not yet")]

    def queryset(self, _request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        open_ones, now = rows.filter(status=_OPEN), timezone.now()
        wanted = {"overdue": Q(due_at__lte=now), "ahead": Q(due_at__gt=now)}.get(self.value() or "")
        return rows if wanted is None else open_ones.filter(wanted)


class AnsweredByPeople(OwnPage):
    """What people answer by deciding its case. Restricted ones are only there for those who may see them."""

    right = ModerationRight.REVIEW
    model: Any
    decided_case: str  # the column of the case whose verdict a row tells
    list_filter_submit = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = self.model._default_manager.all()
        if not self.has_right(request):
            return rows.none()
        overdue = Q(status=_OPEN, due_at__lte=timezone.now())
        rows = rows.select_related("tenant", "case").annotate(
            is_overdue=Choose(
                When(overdue, then=Value(True)), default=Value(False), output_field=BooleanField()
            )
        )
        by = actor(request)
        rows = without_hidden_verdicts(rows, self.decided_case, by)
        return about_visible_cases(rows, by)

    def get_ordering(self, request: HttpRequest) -> Any:
        """Open ones by their deadline, then what was answered last: in the order of an index."""
        return (F("answered_at").desc(nulls_first=True), "due_at", "-pk")

    @display(description="case", ordering="case")
    def case_link(self, row: Any) -> SafeString:
        return format_html(
            '<a href="{}">{}</a>',
            reverse("admin:moderation_case_change", args=[row.case_id]),
            row.case_id,
        )

    @display(description="due", ordering="due_at")
    def moment_due(self, row: Any) -> SafeString | str:
        if row.status != _OPEN:
            return "–"
        return (
            format_html("{}<br>{}", when(row.due_at), badge("overdue", Tone.BAD))
            if row.is_overdue
            else when(row.due_at)
        )

    @display(description="number", ordering="pk")
    def name(self, row: Any) -> SafeString:
        return format_html("{}<br><small>{}</small>", str(row).capitalize(), ago(row.made_at))


@admin.register(Appeal)
class AppealPage(AnsweredByPeople, ModelAdmin[Appeal]):
    empty_text = (
        "Authors appeal by POST /api/v1/appeals, or in your application. Somebody who did not decide before decides again, "
        "and the author is told."
    )
    own_template = "admin/moderation/appeal.html"
    decided_case = "contested__verdict__case"
    list_display = [
        "name", state_column("status", APPEAL_TONES), "moment_due", "case_link", "content", text_column("text", "text"), "author",
        "tenant",
    ]  # fmt: skip
    list_filter = [
        "status", OverdueAnswersFilter, "tenant", exact_filter("author_id", "author id"), ("made_at", PeriodFilter),
    ]  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return (
            super()
            .get_queryset(request)
            .select_related("tenant", "case", "contested__verdict__action", "contested__decision")
            .defer("contested__decision__evidence", "contested__decision__findings")
        )

    def shown(self, request: HttpRequest, row: Appeal) -> dict[str, Any]:
        contested, by = row.contested, actor(request)
        return {
            "title": str(row).capitalize(),
            "appeal": row,
            "tone": APPEAL_TONES[AppealStatus(row.status)],
            "contested_tone": VERDICT_TONES[Ruling(contested.ruling)],
            "decided_by": who_decided(contested.verdict, by) if contested.verdict is not None else "",
            "may_read": ModerationRight.READ_DECISIONS in by.rights,
        }

    @display(description="content")
    def content(self, appeal: Appeal) -> SafeString:
        return format_html("<bdi>{}</bdi>", appeal.contested.content_key)

    @display(description="author", ordering="author_id")
    def author(self, appeal: Appeal) -> SafeString | str:
        return format_html("<bdi>{}</bdi>", appeal.author_id) if appeal.author_id else "–"


@admin.register(Report)
class ReportPage(AnsweredByPeople, ModelAdmin[Report]):
    empty_text = (
        "People report contents by POST /api/v1/reports, or in your application. Reports of one content share a case, and "
        "each reporter is told what came of it."
    )
    own_template = "admin/moderation/report.html"
    decided_case = "case"
    list_display = [
        "name", state_column("status", REPORT_TONES), "moment_due", "case_link", "code", text_column("text", "text"),
        "reporter", "tenant",
    ]  # fmt: skip
    list_filter = [
        "status", OverdueAnswersFilter, "source", "tenant", exact_filter("reporter_id", "reporter id"),
        exact_filter("code", "violation"), ("made_at", PeriodFilter),
    ]  # fmt: skip

    def shown(self, request: HttpRequest, row: Report) -> dict[str, Any]:
        return {
            "title": str(row).capitalize(),
            "report": row,
            "tone": REPORT_TONES[ReportStatus(row.status)],
            "record": reporter_record(row.tenant_id, row.reporter_id) if row.reporter_id else None,
            "may_read": ModerationRight.READ_DECISIONS in actor(request).rights,
        }

    @display(description="reporter", ordering="reporter_id")
    def reporter(self, report: Report) -> SafeString | str:
        return format_html("<bdi>{}</bdi> <small>{}</small>", report.reporter_id, report.get_source_display())
