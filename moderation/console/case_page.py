"""The page of a case: its contents, what people decided, what stands, and who was told what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Left
from django.utils import timezone

from moderation.appeals.models import Appeal
from moderation.cases.models import Case, CaseItem, CaseSource, Guideline
from moderation.cases.selectors import about_visible_cases, visible_cases
from moderation.cases.transitions import CaseStatus
from moderation.console.decision_page import TONES
from moderation.deciding.models import Decision
from moderation.policies.rules import Ruling
from moderation.review.finals import content_key
from moderation.review.models import FinalDecision, Verdict
from moderation.review.transitions import VerdictStatus
from moderation.rights import ModerationRight
from registry.kit.actors import Actor
from registry.kit.admin.columns import Tone
from registry.kit.admin.facts import value_in_words

_CONTENTS, _FINALS, _REPORTS = 50, 100, 50
_SNIPPET = 240
STATUS_TONES = {
    CaseStatus.WAITING: Tone.BUSY, CaseStatus.DECIDED: Tone.GOOD, CaseStatus.CLOSED: Tone.GOOD,
    CaseStatus.WITHDRAWN: Tone.IDLE,
}  # fmt: skip
VERDICT_TONES = {Ruling.ALLOW: Tone.GOOD, Ruling.BLOCK: Tone.BAD}


@dataclass(frozen=True, slots=True)
class ShownContent:
    item: CaseItem
    decision: Decision
    tone: Tone
    text: str


@dataclass(frozen=True, slots=True)
class ShownVerdict:
    """`who` is a name for leads; other people learn whether it was themselves."""

    verdict: Verdict
    who: str
    tone: Tone


@dataclass(frozen=True, slots=True)
class ShownFinal:
    final: FinalDecision
    tone: Tone
    statement: Sequence[tuple[str, str]]
    statement_json: str

    @property
    def statement_id(self) -> str:
        """Of the element that shows it, for the button that copies it."""
        return f"rh-statement-{self.final.pk}"


def awaits_second_review(case: str = "pk") -> Exists:
    """Whether another person is to decide a case again without knowing what was decided. `case`: its column."""
    again = Case.objects.filter(
        about__case=OuterRef(case),
        source=CaseSource.SECOND_REVIEW,
        status__in=[CaseStatus.WAITING, CaseStatus.DECIDED],
    )
    return Exists(again)


def hides_verdicts(case: Any, by: Actor) -> bool:
    """A second review is only worth something if the second person does not know the first one's verdict."""
    is_second = case.source == CaseSource.SECOND_REVIEW and case.status == CaseStatus.WAITING
    return ModerationRight.LEAD not in by.rights and (is_second or case.awaits_second)


def without_hidden_verdicts(rows: QuerySet[Any], case: str, by: Actor) -> QuerySet[Any]:
    """Rows that tell nothing of a verdict that a second person must not know. `case`: the column of the verdict's case."""
    return rows if ModerationRight.LEAD in by.rights else rows.filter(~awaits_second_review(case))


def case_context(case: Any, by: Actor) -> dict[str, Any]:
    """`case` has `awaits_second`."""
    contents, more = _contents(case, by)
    is_blind = hides_verdicts(case, by)
    decisions = [one.decision for one in contents]
    return {
        "case": case,
        "tone": STATUS_TONES[CaseStatus(case.status)],
        "guideline": Guideline.objects.filter(code=case.code).first(),
        "is_overdue": case.status == CaseStatus.WAITING and case.due_at <= timezone.now(),
        "is_claimed": case.claimed_until is not None and case.claimed_until > timezone.now(),
        "is_on_hold": case.on_hold_until is not None and case.on_hold_until > timezone.now(),
        "contents": contents,
        "more_contents": more,
        "may_read": ModerationRight.READ_DECISIONS in by.rights,
        "is_blind": is_blind,
        "about": None if is_blind else _about(case, by),
        "verdicts": [] if is_blind else _verdicts(case, by),
        "finals": [] if is_blind else _finals(case, decisions),
        "again": [] if is_blind else _again(case, by),
        "reports": [] if is_blind else list(case.reports.order_by("pk")[:_REPORTS]),
        "appeals": [] if is_blind else _appeals(case, by),
    }


def _contents(case: Case, by: Actor) -> tuple[list[ShownContent], int]:
    """The first ones, and how many more there are. Texts of restricted cases are not here: each look at one is recorded."""
    items = (
        case.items.select_related("decision__policy", "decision__revision", "decision__tenant")
        .defer("decision__evidence", "decision__findings", "decision__revision__content")
        .annotate(beginning=Left("decision__content__text", _SNIPPET))
    )
    shows_texts = ModerationRight.READ_DECISIONS in by.rights and not case.is_restricted
    contents = [
        ShownContent(
            item,
            item.decision,
            TONES[Ruling(item.decision.ruling)],
            (item.beginning or "") if shows_texts else "",
        )
        for item in items[:_CONTENTS]
    ]
    return contents, max(0, case.items.count() - _CONTENTS)


def _verdicts(case: Case, by: Actor) -> list[ShownVerdict]:
    return [_shown(verdict, by) for verdict in case.verdicts.select_related("action").order_by("pk")]


def _shown(verdict: Verdict, by: Actor) -> ShownVerdict:
    undone = verdict.status == VerdictStatus.UNDONE
    return ShownVerdict(
        verdict, who_decided(verdict, by), Tone.IDLE if undone else VERDICT_TONES[Ruling(verdict.ruling)]
    )


def who_decided(verdict: Verdict, by: Actor) -> str:
    if ModerationRight.LEAD in by.rights:
        return verdict.reviewer_name
    return (
        "you" if verdict.reviewer_id is not None and verdict.reviewer_id == by.user_id else "another person"
    )


def _about(case: Case, by: Actor) -> ShownVerdict | None:
    if case.about_id is None:
        return None
    return _shown(Verdict.objects.select_related("action", "case").get(pk=case.about_id), by)


def _finals(case: Case, decisions: Sequence[Decision]) -> list[ShownFinal]:
    keys = {content_key(decision) for decision in decisions}
    rows = FinalDecision.objects.filter(tenant=case.tenant_id, content_key__in=keys)
    rows = rows.select_related("verdict__case", "replaces").order_by("content_key", "sequence")
    return [
        ShownFinal(
            final,
            VERDICT_TONES[Ruling(final.ruling)],
            [(_name(name), _text(value)) for name, value in (final.statement or {}).items()],
            orjson.dumps(final.statement, option=orjson.OPT_INDENT_2).decode() if final.statement else "",
        )
        for final in rows[:_FINALS]
    ]


def _name(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {item}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return value if isinstance(value, str) else value_in_words("", value)


def _again(case: Case, by: Actor) -> list[Case]:
    """Cases that look at this one's verdicts again."""
    later = Case.objects.filter(about__case=case).order_by("pk")
    return list(visible_cases(later, by))


def _appeals(case: Case, by: Actor) -> list[Appeal]:
    """The appeal that it answers, and those against what its verdict made stand."""
    own = Q(case=case) | Q(contested__verdict__case=case)
    appeals: QuerySet[Appeal] = Appeal.objects.filter(own).select_related("contested", "case").order_by("pk")
    return list(about_visible_cases(appeals, by))
