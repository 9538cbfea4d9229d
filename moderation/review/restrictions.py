"""What is written about a final decision: the statement of reasons, and the notice to the author."""

from datetime import timedelta
from typing import Any

from moderation.cases.models import CaseSource, Guideline
from moderation.deciding.answers import stored_explanation
from moderation.deciding.findings import Findings
from moderation.deciding.judgements import Evidence
from moderation.deciding.models import Decision
from moderation.review.models import Effect, FinalDecision
from moderation.review.notices import Notice, NoticeKind, NoticeValues, notice_text
from moderation.review.statements import (
    DecisionGround,
    DecisionMaker,
    DecisionVisibility,
    Restriction,
    SourceType,
    StatementCategory,
    StatementContentType,
    automation_of,
    statement_of,
)

_VISIBILITY = {
    Effect.LABEL: DecisionVisibility.LABELLED,
    Effect.LIMIT: DecisionVisibility.DEMOTED,
    Effect.REMOVE: DecisionVisibility.REMOVED,
}
_TERMS = "Terms and conditions"
_GONE = "The content was erased."
_FOUND_AT_MOST = 5  # rules that a statement names


def statement_for(
    final: FinalDecision,
    decision: Decision,
    guideline: Guideline | None,
    *,
    source: SourceType = SourceType.VOLUNTARY,
) -> dict[str, Any] | None:
    """The statement of reasons of a restriction; None if nothing is restricted."""
    if not Effect(final.effect).restricts:
        return None
    maker = DecisionMaker(final.decided_by)
    is_illegal = guideline is not None and guideline.is_illegal
    title = _title(final, guideline)
    return statement_of(
        Restriction(
            puid=f"{decision.request_id}-{final.sequence}",
            visibility=[_VISIBILITY[Effect(final.effect)]],
            ground=DecisionGround.ILLEGAL if is_illegal else DecisionGround.INCOMPATIBLE,
            ground_reference=(guideline.ground.strip() if guideline is not None else "") or _TERMS,
            explanation=f"{title}: {_sentence(guideline)}" if _sentence(guideline) else title,
            category=_category(guideline),
            content_types=_content_types(decision),
            content_type_other=_GONE,
            content_language=decision.language,
            content_date=decision.received_at.date(),
            applied_on=final.made_at.date(),
            facts=_facts(final, decision),
            source_type=source,
            automation=automation_of(maker),
        )
    )


def notice_of(
    final: FinalDecision, decision: Decision, guideline: Guideline | None, *, appeal_days: int
) -> dict[str, str] | None:
    """What the author is told, in the content's language; None if there is nothing to tell."""
    if Effect(final.effect).restricts:
        kind = NoticeKind.RESTRICTED
    elif final.source == CaseSource.APPEAL and _was_restricted(final):
        kind = NoticeKind.RESTORED  # it speaks of an appeal
    else:
        return None
    notice = notice_text(
        decision.language,
        kind,
        NoticeValues(
            decided_by=DecisionMaker(final.decided_by),
            content=_name_of(final),
            visibility=[_VISIBILITY[Effect(final.effect)]] if kind is NoticeKind.RESTRICTED else [],
            rule=_title(final, guideline),
            rule_sentences=guideline.notices if guideline is not None else {},
            # Nobody can appeal against the answer to an appeal.
            appeal_until=None
            if final.source == CaseSource.APPEAL
            else (final.made_at + timedelta(days=appeal_days)).date(),
        ),
    )
    return _as_json(notice)


def answer_to_appeal(contested: FinalDecision, language: str, *, is_lifted: bool) -> dict[str, str]:
    """What an author is told whose restriction is lifted, or stays."""
    values = NoticeValues(decided_by=DecisionMaker.PERSON, content=_name_of(contested))
    kind = NoticeKind.RESTORED if is_lifted else NoticeKind.APPEAL_UPHELD
    return _as_json(notice_text(language, kind, values))


def _was_restricted(final: FinalDecision) -> bool:
    return final.replaces is not None and Effect(final.replaces.effect).restricts


def answer_to_report(
    final: FinalDecision | None, language: str, *, is_restricted: bool, content: str
) -> dict[str, str]:
    """What the reporter of a content is told. `content`: what it is called."""
    kind = NoticeKind.REPORT_ACTION if is_restricted else NoticeKind.REPORT_NO_ACTION
    maker = DecisionMaker(final.decided_by) if final is not None else DecisionMaker.PERSON
    return _as_json(notice_text(language, kind, NoticeValues(decided_by=maker, content=content)))


def _name_of(final: FinalDecision) -> str:
    return (final.decision.url if final.decision is not None else "") or final.content_key


def _as_json(notice: Notice) -> dict[str, str]:
    return {"language": notice.language, "subject": notice.subject, "body": notice.body}


def _title(final: FinalDecision, guideline: Guideline | None) -> str:
    return (guideline.title.strip() if guideline is not None else "") or ", ".join(final.codes)


def _category(guideline: Guideline | None) -> StatementCategory:
    """A restriction must have a statement, so a category that the database does not know any more is another one."""
    named = guideline.category if guideline is not None else ""
    return StatementCategory(named) if named in set(StatementCategory) else StatementCategory.OTHER


def _sentence(guideline: Guideline | None) -> str:
    return str(guideline.notices.get("en", "")) if guideline is not None else ""


def _content_types(decision: Decision) -> list[StatementContentType]:
    parts = Findings.from_bytes(decision.findings).parts
    types = [StatementContentType.TEXT] if any(not part.startswith("image") for part in parts) else []
    types += [StatementContentType.IMAGE] if any(part.startswith("image") for part in parts) else []
    return types or [StatementContentType.OTHER]


def _facts(final: FinalDecision, decision: Decision) -> str:
    """What was found and who decided, without what the author wrote: statements are public."""
    found = [
        f"{_finder(one)} found {one.code} (score {one.score:.2f}, cut-off {one.cut_off:g})"
        for one in stored_explanation(decision).evidence
        if not one.is_shadow
    ]
    decided = {
        DecisionMaker.MACHINE: "Nobody was involved in the decision.",
        DecisionMaker.MACHINE_AND_PERSON: "A person decided, with what was found in front of them.",
        DecisionMaker.PERSON: "A person decided; no automated system had found anything.",
    }[DecisionMaker(final.decided_by)]
    brought = {
        CaseSource.REPORT.value: "The content was reported. ",
        CaseSource.AUDIT.value: "The content was chosen at random. ",
    }
    facts = f"{'; '.join(found[:_FOUND_AT_MOST])}. " if found else ""
    return f"{brought.get(final.source, '')}{facts[:1].upper()}{facts[1:]}{decided}"


def _finder(one: Evidence) -> str:
    return f"detector {one.detector}" if one.detector else "a list"
