"""Appeals are taken, and answered by the verdict of another person."""

from collections.abc import Sequence
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from moderation.appeals.models import MAX_APPEAL, Appeal
from moderation.appeals.transitions import AppealStatus
from moderation.cases.models import CaseSource
from moderation.cases.opening import open_case
from moderation.deciding.models import Decision
from moderation.errors import NothingToAppeal
from moderation.policies.rules import Ruling
from moderation.review.finals import are_restricted, newer_content, review_terms, stand_now, standing_final
from moderation.review.models import FinalDecision, Verdict
from moderation.review.restrictions import answer_to_appeal
from moderation.review.strikes import remove_strikes
from moderation.rights import ModerationRight
from registry.errors import Invalid
from registry.kit.actors import Actor
from registry.kit.text import storable
from registry.record.events import emit


def make_appeal(*, decision: Decision, text: str = "", language: str = "", by: Actor) -> Appeal:
    """Have another person decide again about a restricted content.

    Raises NothingToAppeal if nothing restricts it, if it was appealed before, or if it is too late.
    """
    by.check(ModerationRight.REPORT)
    if len(text) > MAX_APPEAL:
        raise Invalid(f"An appeal has at most {MAX_APPEAL:,} characters; this one has {len(text):,}.")
    stand_now(decision)
    try:
        with transaction.atomic():
            return _make(decision, text, language)
    except IntegrityError:
        raise NothingToAppeal("This decision was appealed before.") from None


def _make(decision: Decision, text: str, language: str) -> Appeal:
    contested, terms, now = standing_final(decision), review_terms(decision), timezone.now()
    if contested is None or contested.ruling != Ruling.BLOCK or contested.decision is None:
        raise NothingToAppeal
    if contested.source == CaseSource.APPEAL:
        raise NothingToAppeal("This decision answers an appeal, so it cannot be appealed again.")
    if contested.made_at + timedelta(days=terms.appeal_days) < now:
        raise NothingToAppeal(f"The decision could be appealed for {terms.appeal_days} days.")
    if Appeal.objects.filter(contested=contested).exists():
        raise NothingToAppeal("This decision was appealed before.")
    changed = newer_content(contested.decision)
    if changed is not None and changed.ruling != Ruling.BLOCK:
        raise NothingToAppeal(
            "The author has changed the content since, and nothing restricts it as it is now."
        )
    due_at = now + timedelta(hours=terms.appeal_hours)
    verdict = contested.verdict
    case = open_case(
        contested.decision,
        CaseSource.APPEAL,
        due_at=due_at,
        about_id=verdict.pk if verdict is not None else None,
        not_for=_deciders(contested.decision),
        is_restricted=are_restricted(contested.codes),
        code=next(iter(contested.codes), ""),
    )
    return Appeal.objects.create(
        tenant_id=contested.tenant_id,
        contested=contested,
        case=case,
        author_id=contested.author_id,
        text=storable(text, MAX_APPEAL),
        language=storable(language or decision.language, 8),
        made_at=now,
        due_at=due_at,
    )


def _deciders(decision: Decision) -> set[int]:
    """Everybody who gave a verdict about this content: also to check another one's, and also one that was undone."""
    same = Decision.objects.filter(pk=decision.pk)
    if decision.content_id:
        same |= Decision.objects.filter(
            tenant=decision.tenant_id, content_id=decision.content_id, digest=decision.digest
        )
    about = Q(case__items__decision__in=same) | Q(case__about__case__items__decision__in=same)
    verdicts = Verdict.objects.filter(about).exclude(reviewer=None)
    return set(verdicts.order_by().values_list("reviewer_id", flat=True))


def answer_appeals(verdict: Verdict, finals: Sequence[FinalDecision]) -> None:
    """Answer the appeal of a case whose verdict became final, and tell subscribers."""
    if verdict.case.source != CaseSource.APPEAL:
        return
    for appeal in Appeal.objects.filter(case=verdict.case, status=AppealStatus.OPEN).select_related(
        "contested__decision", "tenant"
    ):
        contested, is_lifted = appeal.contested, verdict.ruling == Ruling.ALLOW
        changed = [final for final in finals if final.effect != contested.effect]
        appeal.status = AppealStatus.OVERTURNED if is_lifted or changed else AppealStatus.UPHELD
        appeal.answered_at = timezone.now()
        appeal.answer = answer_to_appeal(contested, appeal.language, is_lifted=is_lifted)
        if is_lifted:
            remove_strikes(contested)
        elif changed:
            appeal.answer = changed[0].notice
        appeal.save(update_fields=["status", "answered_at", "answer"])
        emit(
            "appeal.answered",
            subject=appeal,
            data=appeal_answer(appeal),
            summary=f"{appeal} about {appeal.contested.content_key}: {appeal.status}.".capitalize(),
            order_key=f"appeal:{appeal.pk}",
        )


def appeal_answer(appeal: Appeal) -> dict[str, object]:
    """As callers and subscribers get it."""
    contested = appeal.contested
    return {
        "id": appeal.pk,
        "status": appeal.status,
        "content_id": contested.decision.content_id if contested.decision is not None else "",
        "request_id": contested.decision.callers_request_id if contested.decision is not None else None,
        "author_id": appeal.author_id,
        "contested_sequence": contested.sequence,
        "made_at": appeal.made_at.isoformat(),
        "due_at": appeal.due_at.isoformat(),
        "answered_at": appeal.answered_at.isoformat() if appeal.answered_at else None,
        "answer": appeal.answer,
    }
