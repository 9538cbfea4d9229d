"""What the search over everything finds of reviews: cases, appeals and reports, by number, content, request or author."""

import re

from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse

from moderation.appeals.models import Appeal
from moderation.cases.models import Case
from moderation.cases.selectors import about_visible_cases, cases_matching, visible_cases
from moderation.console.case_page import without_hidden_verdicts
from moderation.deciding.models import Decision
from moderation.deciding.selectors import decisions_matching
from moderation.reports.models import Report
from moderation.rights import ModerationRight
from registry.kit.admin.search import HITS_PER_SOURCE, Hit
from registry.kit.admin.theme import actor

_APPEAL = re.compile(r"(?:appeal\s*)?#?\s*(?P<number>[0-9]{1,18})", re.IGNORECASE)
_REPORT = re.compile(r"(?:report\s*)?#?\s*(?P<number>[0-9]{1,18})", re.IGNORECASE)


def find_cases(request: HttpRequest, text: str) -> list[Hit]:
    by = actor(request)
    if ModerationRight.REVIEW not in by.rights:
        return []
    cases = cases_matching(visible_cases(Case.objects.all(), by), text)
    return [
        Hit(
            f"Case {case.pk}",
            reverse("admin:moderation_case_change", args=[case.pk]),
            f"{case.get_status_display().lower()}, {case.get_source_display()}{f', {case.code}' if case.code else ''}",
        )
        for case in cases.order_by("-pk")[:HITS_PER_SOURCE]
    ]


def find_appeals(request: HttpRequest, text: str) -> list[Hit]:
    by = actor(request)
    if ModerationRight.REVIEW not in by.rights:
        return []
    matching = Q(author_id=text) | Q(contested__content_key=text)
    if number := _APPEAL.fullmatch(text):
        matching |= Q(pk=int(number["number"]))
    appeals = Appeal.objects.filter(matching).select_related("contested")
    appeals = without_hidden_verdicts(appeals, "contested__verdict__case", by)
    seen = about_visible_cases(appeals, by)
    return [
        Hit(
            f"Appeal {appeal.pk}",
            reverse("admin:moderation_appeal_change", args=[appeal.pk]),
            f"{appeal.get_status_display().lower()}, about {appeal.contested.content_key}",
        )
        for appeal in seen.order_by("-pk")[:HITS_PER_SOURCE]
    ]


def find_reports(request: HttpRequest, text: str) -> list[Hit]:
    by = actor(request)
    if ModerationRight.REVIEW not in by.rights:
        return []
    decisions = decisions_matching(Decision.objects.order_by(), text).values("pk")
    matching = Q(reporter_id=text) | Q(decision__in=decisions)
    if number := _REPORT.fullmatch(text):
        matching |= Q(pk=int(number["number"]))
    reports = without_hidden_verdicts(Report.objects.filter(matching), "case", by)
    seen = about_visible_cases(reports, by)
    return [
        Hit(
            f"Report {report.pk}",
            reverse("admin:moderation_report_change", args=[report.pk]),
            f"{report.get_status_display().lower()}{f', {report.code}' if report.code else ''}",
        )
        for report in seen.order_by("-pk")[:HITS_PER_SOURCE]
    ]
