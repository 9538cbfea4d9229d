"""What a reviewer sees of a case: the content with its evidence, why it is here, and what is known around it."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import (
    BinaryField,
    BooleanField,
    Count,
    Exists,
    ExpressionWrapper,
    F,
    OuterRef,
    Q,
    QuerySet,
    Sum,
    When,
)
from django.db.models import Case as Choose
from django.db.models.functions import Length
from django.urls import reverse
from django.utils import timezone

from moderation.appeals.models import Appeal
from moderation.cases.likeness import PictureRows
from moderation.cases.models import Case, CaseSource, Guideline, Harm
from moderation.cases.selectors import restricted_decisions, visible_cases
from moderation.cases.transitions import CaseStatus
from moderation.console.decision_page import (
    VersionLinks,
    decision_facts,
    linked_evidence,
    marked_texts,
    picture_type,
    shown_problem,
)
from moderation.console.marked_content import MarkedPicture, NumberedEvidence, evidence_of_picture
from moderation.deciding.answers import stored_explanation
from moderation.deciding.findings import image_part
from moderation.deciding.models import Decision
from moderation.deciding.selectors import decisions
from moderation.reports.models import Report
from moderation.reports.transitions import ReportStatus
from moderation.review.finals import content_key
from moderation.review.models import FinalDecision, Verdict
from moderation.review.selectors import restricted_finals
from moderation.review.strikes import active_strikes
from moderation.review.transitions import VerdictStatus
from moderation.review.verdicts import actions_for
from moderation.rights import ModerationRight
from registry.kit.actors import Actor
from registry.kit.admin.columns import Tone

_NEIGHBOURS = 5  # of a conversation, on each side
_EQUALS_SHOWN, _REPORTS_SHOWN, _HISTORY_SHOWN, _SIMILAR_SHOWN = 30, 20, 5, 5
_SEARCHED = 200  # of decided cases with the same text, whose pictures are compared
_INLINE_BYTES = 256 << 10
_NO_LINKS = VersionLinks({}, {})  # reviewers are told the version; its page is for other work
_RIGHT = Count("pk", filter=Q(status=ReportStatus.ACTION))  # of reports
_ANSWERED = Count("pk", filter=Q(status__in=[ReportStatus.ACTION, ReportStatus.NO_ACTION]))
_HARM_TONES = {Harm.LOW: Tone.IDLE, Harm.MEDIUM: Tone.BUSY, Harm.HIGH: Tone.WARN, Harm.CRITICAL: Tone.BAD}
_WHY = {
    CaseSource.REVIEW: "The policy wants a person to decide.",
    CaseSource.FAILURE: "A detector failed. If you do not decide, the content is decided by itself when the detector is back.",
    CaseSource.AUDIT: "Random audit: the policy allowed it. Decide as if nothing had been decided yet.",
    CaseSource.REPORT: "Reported.",
    CaseSource.APPEAL: "The author appeals against what was decided.",
    CaseSource.SECOND_REVIEW: "Second review: another person decided it before. You are not told what they decided.",
    CaseSource.DISAGREEMENT: "Two reviewers disagree. Your verdict counts.",
}


@dataclass(frozen=True, slots=True)
class KnownViolation:
    """A violation that a reviewer can name. `key`: the digit that chooses it."""

    code: str
    title: str
    guidance: str
    harm: str
    key: str
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class ReportShown:
    report: Report
    answered: int  # of this reporter's earlier reports
    right: int


@dataclass(frozen=True, slots=True)
class AuthorHistory:
    finals: Sequence[FinalDecision]
    strikes: int
    strike_weight: float
    reports: int
    reports_right: int

    @property
    def is_empty(self) -> bool:
        return not (self.finals or self.strikes or self.reports)


def case_context(case: Case, by: Actor) -> dict[str, Any]:
    """The context of `case.html`. The number of queries does not depend on how many contents the case has."""
    items = list(
        case.items.filter(is_withdrawn=False)
        .select_related("decision")
        .defer("decision__evidence", "decision__findings")[: _EQUALS_SHOWN + 1]
    )
    violations = _violations(case)
    context: dict[str, Any] = {
        "case": case,
        "left_s": max(0, int((case.claimed_until - timezone.now()).total_seconds()))
        if case.claimed_until
        else 0,
        "why": _WHY[CaseSource(case.source)],
        "harm": Harm(case.harm).label.lower(),
        "harm_tone": _HARM_TONES[Harm(case.harm)],
        "is_overdue": case.due_at <= timezone.now(),
        "violations": violations,
        "title": next((one.title for one in violations if one.code == case.code), case.code)
        or "No violation named",
        "actions": actions_for(by),
        "is_lead": ModerationRight.LEAD in by.rights,
        "reads_decisions": ModerationRight.READ_DECISIONS in by.rights,
        "equals": [item.decision for item in items[1 : _EQUALS_SHOWN + 1]],
        "unshown_equals": max(0, case.item_count - 1 - _EQUALS_SHOWN),
        "reports": _reports(case),
        "appeal": _appeal(case),
        "first_verdicts": _first_verdicts(case),
    }
    decision = decisions().filter(pk=items[0].decision_id).first() if items else None
    if decision is not None:  # else it was erased since
        context |= _content(case, decision)
        context |= {
            "thread": _thread(decision, by),
            "author": _author(case, decision, by),
            "similar": _similar(case, by),
        }
    return context


def _content(case: Case, decision: Decision) -> dict[str, Any]:
    explanation = stored_explanation(decision)
    evidence = linked_evidence(
        [one for one in explanation.evidence if not one.is_shadow], _NO_LINKS, explanation
    )
    content = getattr(decision, "content", None)
    return {
        "decision": decision,
        "links_item": decision.url.lower().startswith(("https://", "http://")),  # callers send any scheme
        "is_stored": content is not None,
        "texts": marked_texts(content, evidence),
        "pictures": _marked_pictures(case, decision, evidence) if content is not None else [],
        "evidence": evidence,
        "problems": [shown_problem(one, _NO_LINKS) for one in explanation.problems],
        "facts": decision_facts(decision),
    }


def _marked_pictures(
    case: Case, decision: Decision, evidence: Sequence[NumberedEvidence]
) -> list[MarkedPicture]:
    """Small pictures come with the case, as that is quicker than asking for them."""
    size = Length("file")
    small = When(size__lte=_INLINE_BYTES, then=F("file"))
    is_kept = ExpressionWrapper(Q(file__isnull=False), output_field=BooleanField())
    pictures: list[Any] = list(
        decision.pictures.annotate(size=size, is_kept=is_kept)
        .annotate(small_file=Choose(small, default=None, output_field=BinaryField()))
        .defer("file")
    )
    return [
        MarkedPicture(
            f"Picture {picture.number + 1}" if len(pictures) > 1 else "Picture",
            _picture_address(case, decision, picture) if picture.is_kept else "",
            picture.url,
            **evidence_of_picture(image_part(picture.number, len(pictures)), evidence),
        )
        for picture in pictures
    ]


def _picture_address(case: Case, decision: Decision, picture: Any) -> str:
    file = bytes(picture.small_file or b"")
    kind = picture_type(file)
    if kind is not None:
        return f"data:{kind};base64,{b64encode(file).decode()}"
    return reverse("review-picture", args=[case.pk, decision.pk, picture.number])


def _violations(case: Case) -> list[KnownViolation]:
    """The case's own first, then by harm. The first nine have a key."""
    known: list[tuple[str, Guideline | None]] = [(one.code, one) for one in Guideline.objects.all()]
    if case.code and case.code not in {code for code, _ in known}:
        known.append((case.code, None))
    known.sort(key=lambda one: one[0] != case.code)  # stable: the others stay ordered by harm
    return [
        KnownViolation(
            code,
            str(guideline) if guideline is not None else code,
            guideline.guidance if guideline is not None else "",
            Harm(guideline.harm).label.lower() if guideline is not None else "",
            str(place) if place <= 9 else "",
            code == case.code,
        )
        for place, (code, guideline) in enumerate(known, start=1)
    ]


def _reports(case: Case) -> list[ReportShown]:
    """The newest reports, with how often their reporters were right before."""
    reports = list(case.reports.all()[:_REPORTS_SHOWN])
    reporters = {report.reporter_id for report in reports if report.reporter_id}
    records: Mapping[str, tuple[int, int]] = {}
    if reporters:
        rows = Report.objects.filter(tenant=case.tenant_id, reporter_id__in=reporters)
        if case.source == CaseSource.SECOND_REVIEW and case.about is not None:
            rows = rows.exclude(case=case.about.case_id)  # their answers would tell the first verdict
        counted = rows.order_by().values("reporter_id").annotate(answered=_ANSWERED, right=_RIGHT)
        records = {row["reporter_id"]: (row["answered"], row["right"]) for row in counted}
    return [ReportShown(report, *records.get(report.reporter_id, (0, 0))) for report in reports]


def _appeal(case: Case) -> Appeal | None:
    if case.source != CaseSource.APPEAL:
        return None
    return case.appeals.select_related("contested__verdict__action").first()


def _first_verdicts(case: Case) -> list[Verdict]:
    """The two verdicts that disagree. Whoever gives a second review is not told the first."""
    if case.source != CaseSource.DISAGREEMENT or case.about_id is None:
        return []
    both = Q(pk=case.about_id) | Q(case__about=case.about_id, case__source=CaseSource.SECOND_REVIEW)
    return list(
        Verdict.objects.filter(both, status=VerdictStatus.FINAL).select_related("action").order_by("pk")
    )


def _thread(decision: Decision, by: Actor) -> list[tuple[datetime, Decision]]:
    """The conversation around the content, in order. Restricted ones are only there for those who may see them."""
    if not decision.thread:
        return []
    rows = Decision.objects.filter(tenant=decision.tenant_id, thread=decision.thread).exclude(pk=decision.pk)
    if decision.content_id:
        rows = rows.exclude(content_id=decision.content_id)
    if ModerationRight.SEE_RESTRICTED not in by.rights:
        rows = rows.exclude(restricted_decisions())
    rows = rows.select_related("content").defer("evidence", "findings")
    before = rows.filter(received_at__lte=decision.received_at).order_by("-received_at")[:_NEIGHBOURS]
    after = rows.filter(received_at__gt=decision.received_at).order_by("received_at")[:_NEIGHBOURS]
    return [(one.received_at, one) for one in (*reversed(before), decision, *after)]


def _author(case: Case, decision: Decision, by: Actor) -> AuthorHistory | None:
    """What stands about the author's other contents, their strikes, and reports against them."""
    if not decision.author_id:
        return None
    replaced = FinalDecision.objects.filter(replaces=OuterRef("pk"))
    finals = (
        FinalDecision.objects.filter(
            ~Exists(replaced), tenant=decision.tenant_id, author_id=decision.author_id
        )
        .exclude(content_key=content_key(decision))
        .defer("notice", "statement")
    )
    if ModerationRight.SEE_RESTRICTED not in by.rights:
        finals = finals.exclude(restricted_finals())
    strikes = active_strikes(decision.tenant_id, decision.author_id)
    reports = Report.objects.filter(
        decision__tenant=decision.tenant_id, decision__author_id=decision.author_id
    )
    if case.source == CaseSource.SECOND_REVIEW and case.about is not None:
        # Each would tell the first verdict.
        finals = finals.exclude(verdict=case.about_id)
        strikes = strikes.exclude(final__verdict=case.about_id)
        reports = reports.exclude(case=case.about.case_id)
    weights = strikes.aggregate(count=Count("pk"), weight=Sum("weight"))
    answers = reports.aggregate(count=Count("pk"), right=_RIGHT)
    return AuthorHistory(
        list(finals.order_by("-made_at")[:_HISTORY_SHOWN]),
        weights["count"],
        weights["weight"] or 0.0,
        answers["count"],
        answers["right"],
    )


def _similar(case: Case, by: Actor) -> list[Verdict]:
    """The last verdicts about equal contents, newest first."""
    alike = visible_cases(
        Case.objects.filter(likeness=case.likeness, status=CaseStatus.CLOSED).exclude(pk=case.pk),
        by,
    )
    if case.about_id is not None:  # what it looks at again is shown elsewhere, or must not be known
        alike = alike.exclude(verdicts=case.about_id).exclude(about=case.about_id)
    ids = _with_like_pictures(case, alike.order_by("-opened_at"))
    if not ids:
        return []
    verdicts: QuerySet[Verdict] = Verdict.objects.filter(case__in=ids, status=VerdictStatus.FINAL)
    return list(verdicts.select_related("action").order_by("-made_at")[:_SIMILAR_SHOWN])


def _with_like_pictures(case: Case, alike: QuerySet[Case]) -> list[int]:
    if not case.pictures:
        return list(alike.values_list("pk", flat=True)[:_SIMILAR_SHOWN])
    rows = alike.values_list("pk", "pictures")[:_SEARCHED]
    return [pk for pk, pictures in rows if PictureRows([pictures]).first_alike(case.pictures) is not None]
