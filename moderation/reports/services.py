"""Reports are taken, and answered by the verdict about what they are about."""

from collections.abc import Sequence
from datetime import timedelta

from django.db import transaction
from django.db.models import Count, Q
from django.utils import timezone

from moderation.cases.models import Case, CaseItem, CaseSource, Guideline, Harm
from moderation.cases.opening import open_case, open_now, restrict_cases_about
from moderation.cases.selectors import waiting_cases
from moderation.deciding.contents import MAX_ID
from moderation.deciding.models import Awaits, Decision
from moderation.policies.rules import Ruling
from moderation.reports.models import MAX_REPORT, Report, ReportSource
from moderation.reports.transitions import ReportStatus
from moderation.review.finals import content_key, latest_final, review_terms
from moderation.review.models import FinalDecision, Verdict
from moderation.review.restrictions import answer_to_report
from moderation.review.statements import SourceType
from moderation.review.verdicts import VIOLATION_CODE
from moderation.rights import ModerationRight
from registry.errors import Invalid
from registry.kit.actors import Actor
from registry.kit.text import storable
from registry.record.events import emit

_FIRST, _MOST = 0.6, 1.0  # scores of a case with one report, and with very many
_TRUSTED = 0.95


@transaction.atomic
def make_report(
    *,
    decision: Decision,
    source: ReportSource = ReportSource.USER,
    reporter_id: str = "",
    code: str = "",
    text: str = "",
    language: str = "",
    by: Actor,
) -> Report:
    """Report a content that was moderated before. Its case waits with those of other reports of the same content.

    As long as a report of the same person about it is open, that one is returned.
    """
    by.check(ModerationRight.REPORT)
    if len(text) > MAX_REPORT:
        raise Invalid(f"A report has at most {MAX_REPORT:,} characters; this one has {len(text):,}.")
    if code and not VIOLATION_CODE.fullmatch(code):
        raise Invalid(f"{code[:80]!r} is no violation code.")
    # Reports of one content that arrive at the same time share a case, so they take turns.
    awaits = Decision.objects.select_for_update().values_list("awaits", flat=True).get(pk=decision.pk)
    if (known := open_report(decision, reporter_id)) is not None:
        return known
    if awaits == Awaits.CASE:
        open_now(decision)
    now, terms = timezone.now(), review_terms(decision)
    due_at = now + timedelta(hours=terms.report_hours)
    case = _case_about(decision) or open_case(decision, CaseSource.REPORT, due_at=due_at, code=code)
    report = Report.objects.create(
        tenant_id=decision.tenant_id,
        decision=decision,
        case=case,
        source=source,
        reporter_id=storable(reporter_id, MAX_ID),
        code=code,
        text=storable(text, MAX_REPORT),
        language=storable(language or decision.language, 8),
        made_at=now,
        due_at=due_at,
    )
    _make_more_urgent(case, report)
    return report


def open_report(decision: Decision, reporter_id: str) -> Report | None:
    """This person's report of the same content that waits; None of people whom nobody named."""
    if not reporter_id:
        return None
    about = Q(decision=decision)
    if decision.content_id:
        about |= Q(decision__content_id=decision.content_id)
    mine = Report.objects.filter(about, tenant=decision.tenant_id, reporter_id=storable(reporter_id, MAX_ID))
    return mine.filter(status=ReportStatus.OPEN).order_by("pk").first()


def _case_about(decision: Decision) -> Case | None:
    """A case about the same content that waits already, and stays until a person has decided it.

    Cases of failed detectors withdraw themselves, and audits have to stay apart, or their estimates would be wrong.
    """
    about = CaseItem.objects.filter(decision=decision, is_withdrawn=False, case__about=None)
    return (
        waiting_cases()
        .select_for_update()
        .filter(pk__in=about.values("case"), source__in=[CaseSource.REPORT, CaseSource.REVIEW])
        .first()
    )


def _make_more_urgent(case: Case, report: Report) -> None:
    """The more people report a content, the sooner it is looked at. Trusted flaggers come first."""
    count = Report.objects.filter(case=case).values("reporter_id").distinct().count()
    score = _MOST - (_MOST - _FIRST) / count
    if report.source == ReportSource.TRUSTED_FLAGGER:
        score = max(score, _TRUSTED)
    guideline = Guideline.objects.filter(code=report.code).first()
    is_restricted = case.is_restricted or (guideline is not None and guideline.is_restricted)
    harm = Harm(max(case.harm, guideline.harm if guideline is not None else Harm.LOW))
    score = max(case.score, score)
    code = report.code if guideline is not None and guideline.harm > case.harm else case.code
    if is_restricted:
        restrict_cases_about(case)
    waiting_cases().filter(pk=case.pk).update(
        source=CaseSource.REPORT,  # so that nobody but a person ends it
        code=code,
        harm=harm,
        score=score,
        weight=harm.weight * score,
        due_at=min(case.due_at, report.due_at),
    )


def answer_reports(verdict: Verdict, finals: Sequence[FinalDecision]) -> None:
    """Answer the reports of a case whose verdict became final, and tell subscribers."""
    for report in Report.objects.filter(case=verdict.case, status=ReportStatus.OPEN).select_related(
        "decision", "tenant"
    ):
        final = latest_final(report.decision) if report.decision is not None else None
        # A content that its author has changed in the meantime is not restricted by this verdict.
        stands = report.decision is None or (final is not None and final.ruling == Ruling.BLOCK)
        is_restricted = verdict.ruling == Ruling.BLOCK and stands
        report.status = ReportStatus.ACTION if is_restricted else ReportStatus.NO_ACTION
        report.answered_at = timezone.now()
        report.answer = answer_to_report(
            final, report.language, is_restricted=is_restricted, content=_name_of(report)
        )
        report.save(update_fields=["status", "answered_at", "answer"])
        emit(
            "report.answered",
            subject=report,
            data=report_answer(report),
            summary=f"{report}: {report.get_status_display()}.".capitalize(),
            order_key=f"report:{report.pk}",
        )


def _name_of(report: Report) -> str:
    decision = report.decision
    return (decision.url or content_key(decision)) if decision is not None else str(report)


def report_answer(report: Report) -> dict[str, object]:
    """As callers and subscribers get it."""
    decision = report.decision
    return {
        "id": report.pk,
        "status": report.status,
        "content_id": decision.content_id if decision is not None else "",
        "request_id": decision.callers_request_id if decision is not None else None,
        "source": report.source,
        "reporter_id": report.reporter_id,
        "violation": report.code,
        "made_at": report.made_at.isoformat(),
        "due_at": report.due_at.isoformat(),
        "answered_at": report.answered_at.isoformat() if report.answered_at else None,
        "answer": report.answer,
    }


_STATEMENT_SOURCES = {
    ReportSource.TRUSTED_FLAGGER: SourceType.TRUSTED_FLAGGER,
    ReportSource.NOTICE: SourceType.ARTICLE_16,
    ReportSource.USER: SourceType.OTHER_NOTIFICATION,
}


def statement_source(verdict: Verdict) -> SourceType | None:
    """Who brought the content to a person; of several reports, the weightiest counts."""
    cases = [verdict.case_id, *([verdict.case.about.case_id] if verdict.case.about is not None else [])]
    found = set(Report.objects.filter(case__in=cases).order_by().values_list("source", flat=True))
    return next((named for source, named in _STATEMENT_SOURCES.items() if source in found), None)


def reporter_record(tenant_id: int | None, reporter_id: str) -> dict[str, int]:
    """How many reports of this person were answered, and how many of them led to something."""
    answered = Report.objects.filter(tenant=tenant_id, reporter_id=reporter_id)
    return answered.aggregate(
        reports=Count("pk"),
        answered=Count("pk", filter=Q(status__in=[ReportStatus.ACTION, ReportStatus.NO_ACTION])),
        right=Count("pk", filter=Q(status=ReportStatus.ACTION)),
    )
