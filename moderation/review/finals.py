"""What stands: verdicts become final, and so do decisions that need no person. Subscribers are told, in order per content."""

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from moderation.cases.models import Case, CaseItem, CaseSource, Guideline
from moderation.cases.opening import open_case, withdraw_cases
from moderation.cases.transitions import CaseStatus
from moderation.deciding.answers import stored_explanation
from moderation.deciding.models import Awaits, Decision
from moderation.policies.rules import ReviewTerms, RuleEffect, Ruling, read_review_terms
from moderation.review.models import Effect, FinalDecision, Verdict
from moderation.review.restrictions import notice_of, statement_for
from moderation.review.sampling import is_reviewed_twice
from moderation.review.statements import DecisionMaker
from moderation.review.strikes import add_strike, remove_strikes
from moderation.review.transitions import VerdictStatus
from registry.access.policies import task_actor
from registry.errors import StaleState
from registry.kit.registrations import Registrations
from registry.record import leases
from registry.record.audit import record_change
from registry.record.events import emit

log = structlog.get_logger("roundhouse.moderation")

# What else follows from a final verdict, in the same transaction: appeals and reports are answered.
ON_FINAL: Registrations[Callable[[Verdict, Sequence[FinalDecision]], None]] = Registrations("final verdict")

_LEASE, _LEASE_S = "moderation.finals", 60.0
_AT_ONCE = 500
BLOCKED, ALLOWED = "blocked", "allowed"  # what stands without a person has one of these for an action
# These look at a verdict again; the content's standing changes only if they come to something else.
_LOOKS_AGAIN = (CaseSource.SECOND_REVIEW, CaseSource.DISAGREEMENT, CaseSource.APPEAL)


def make_final(*, now: datetime | None = None) -> int:
    """Make due verdicts final, and decisions that need no person; return how many. One process at a time does this."""
    holder = f"{socket.gethostname()}:{os.getpid()}"
    if not leases.claim(_LEASE, holder=holder, for_s=_LEASE_S):
        return 0
    try:
        due = Verdict.objects.filter(status=VerdictStatus.PENDING, final_at__lte=now or timezone.now())
        made = sum(
            _finish(verdict_id)
            for verdict_id in due.order_by("final_at").values_list("pk", flat=True)[:_AT_ONCE]
        )
        while decisions := _decided_alone():
            _stand(decisions)
            made += len(decisions)
            leases.claim(_LEASE, holder=holder, for_s=_LEASE_S)
        return made
    finally:
        leases.release(_LEASE, holder=holder)


@transaction.atomic
def _finish(verdict_id: int) -> bool:
    """Make one verdict final, with everything that follows from it, or nothing of it."""
    pending = Verdict.objects.filter(pk=verdict_id, status=VerdictStatus.PENDING)
    if not pending.update(status=VerdictStatus.FINAL):
        return False
    verdict = Verdict.objects.select_related("action__subscription", "case__about__case").get(pk=verdict_id)
    case = verdict.case
    closed = Case.objects.filter(pk=case.pk, status=CaseStatus.DECIDED)
    if not closed.update(status=CaseStatus.CLOSED, ended_at=timezone.now()):
        raise StaleState(f"{case} is not decided.")
    if Guideline.objects.filter(code__in=verdict.codes, is_restricted=True).exists():
        Case.objects.filter(pk=case.pk).update(is_restricted=True)
    finals = [] if case.source == CaseSource.SECOND_REVIEW else _add_finals(verdict)
    _follow_up(verdict)
    for follow in ON_FINAL:
        follow(verdict, finals)
    for final in finals:
        _tell(final, verdict)
    # Without the note: it may quote the content, and what is in the chain can never be erased.
    record_change(
        action="decide_case",
        subject=case,
        before=None,
        after={
            "verdict": verdict.ruling,
            "action": verdict.action.name,
            "violations": verdict.codes,
            "contents": case.item_count,
            "reviewer": verdict.reviewer_name,
        },
        by=task_actor("moderation.make_final"),
    )
    return True


def _add_finals(verdict: Verdict) -> list[FinalDecision]:
    """What stands about each content of the case from now on, where that is something new."""
    guidelines = {row.code: row for row in Guideline.objects.filter(code__in=verdict.codes)}
    finals = []
    for item in verdict.case.items.filter(is_withdrawn=False).select_related(
        "decision__revision", "decision__tenant"
    ):
        before = latest_final(item.decision)
        if before is not None and before.verdict_id == verdict.pk:
            continue  # another item of the same content
        if verdict.case.source in _LOOKS_AGAIN and before is not None and _is_same(before, verdict):
            continue
        final = _new_final(item.decision, before, guidelines, verdict)
        final.save(force_insert=True)
        if before is not None:
            remove_strikes(before)
        add_strike(final, verdict.action)
        finals.append(final)
    return finals


def _is_same(final: FinalDecision, verdict: Verdict) -> bool:
    return final.ruling == verdict.ruling and (
        final.ruling == Ruling.ALLOW or final.effect == verdict.action.effect or final.verdict_id is None
    )


def latest_final(decision: Decision) -> FinalDecision | None:
    """What stands about a content."""
    return finals_of(decision).order_by("-sequence").first()


def finals_of(decision: Decision) -> QuerySet[FinalDecision]:
    return FinalDecision.objects.filter(tenant=decision.tenant_id, content_key=content_key(decision))


def content_key(decision: Decision) -> str:
    return decision.content_id or decision.request_id


def _new_final(
    decision: Decision,
    before: FinalDecision | None,
    guidelines: Mapping[str, Guideline],
    verdict: Verdict | None = None,
) -> FinalDecision:
    """Not saved. `verdict` None: the machine decided alone."""
    if verdict is not None:
        ruling, effect, action, codes = (
            verdict.ruling,
            verdict.action.effect,
            verdict.action.name,
            verdict.codes,
        )
        source: str = verdict.case.source
    else:
        is_blocked = decision.ruling == Ruling.BLOCK
        ruling, codes, source = decision.ruling, _blocking_codes(decision), ""
        effect, action = (Effect.REMOVE, BLOCKED) if is_blocked else (Effect.NONE, ALLOWED)
    final = FinalDecision(
        tenant_id=decision.tenant_id,
        content_key=content_key(decision),
        sequence=before.sequence + 1 if before is not None else 1,
        decision=decision,
        verdict=verdict,
        replaces=before,
        source=source,
        ruling=ruling,
        action=action,
        effect=effect,
        codes=codes,
        decided_by=_maker(decision, verdict).value,
        author_id=decision.author_id,
        made_at=timezone.now(),
    )
    guideline = max(
        (guidelines[code] for code in codes if code in guidelines), key=lambda one: one.harm, default=None
    )
    final.statement = statement_for(final, decision, guideline)
    final.notice = notice_of(final, decision, guideline, appeal_days=review_terms(decision).appeal_days)
    return final


def _blocking_codes(decision: Decision) -> list[str]:
    """Without what was only noted, or would only need a person."""
    evidence = stored_explanation(decision).evidence
    return list(
        dict.fromkeys(one.code for one in evidence if not one.is_shadow and one.effect is RuleEffect.BLOCK)
    )


def review_terms(decision: Decision) -> ReviewTerms:
    """Those of the revision that decided."""
    return read_review_terms(decision.revision.content)


def _maker(decision: Decision, verdict: Verdict | None) -> DecisionMaker:
    """What a machine has found counts, also if a report or an appeal brought the content to a person."""
    if verdict is None:
        return DecisionMaker.MACHINE
    found = decision.ruling != Ruling.ALLOW and decision.evidence_count > 0
    return DecisionMaker.MACHINE_AND_PERSON if found else DecisionMaker.PERSON


def _tell(final: FinalDecision, verdict: Verdict | None) -> None:
    """Tell subscribers of a final decision: each of them, in the order of the content's sequence."""
    callback = verdict.action.subscription if verdict is not None else None
    emit(
        "decision.final",
        subject=final,
        data=final_answer(final),
        summary=f"{final.content_key}: {final.action}, decided by {final.decided_by.replace('_', ' ')}.",
        order_key=f"content:{final.tenant_id or ''}:{final.content_key}",
        also_to=[callback] if callback is not None else [],
    )


def final_answer(final: FinalDecision) -> dict[str, Any]:
    """As subscribers and callers get it."""
    decision = final.decision
    return {
        "content_id": decision.content_id if decision is not None else "",
        "request_id": decision.request_id if decision is not None else None,
        "tenant": final.tenant.slug if final.tenant is not None else None,
        "sequence": final.sequence,
        "decision": final.ruling,
        "safe": final.ruling == Ruling.ALLOW,
        "action": final.action,
        "effect": final.effect,
        "violations": final.codes,
        "decided_by": final.decided_by,
        "replaces": final.replaces.sequence if final.replaces is not None else None,
        "author_id": final.author_id,
        "notice": final.notice,
        "statement": final.statement,
        "at": final.made_at.isoformat(),
    }


def _decided_alone() -> list[UUID]:
    return list(
        Decision.objects.filter(awaits=Awaits.FINAL).order_by("pk").values_list("pk", flat=True)[:_AT_ONCE]
    )


def stand_now(decision: Decision) -> None:
    """Write what stands about a content that was decided a moment ago, instead of waiting for the next round."""
    _stand([decision.pk])


@transaction.atomic
def _stand(ids: Sequence[UUID]) -> None:
    """What the machine decided alone stands; of contents that waited for a detector, subscribers are told."""
    rows = Decision.objects.select_for_update(of=("self",)).filter(pk__in=ids, awaits=Awaits.FINAL)
    decisions = list(rows.select_related("revision", "tenant").order_by("pk"))
    guidelines = {row.code: row for row in Guideline.objects.all()}
    known: dict[tuple[int | None, str], FinalDecision | None] = {}
    for decision in decisions:
        key = (decision.tenant_id, content_key(decision))
        if key not in known:
            known[key] = latest_final(decision) if decision.content_id else None
        final = known[key] = _new_final(decision, known[key], guidelines)
        final.save(force_insert=True)
        if decision.redecides_id is not None:
            _tell(final, None)
    waited = [decision.redecides_id for decision in decisions if decision.redecides_id is not None]
    withdraw_cases(Decision.objects.filter(pk__in=waited))
    Decision.objects.filter(pk__in=[decision.pk for decision in decisions]).update(awaits=Awaits.NOTHING)


def _follow_up(verdict: Verdict) -> None:
    """Have a share of verdicts given again by another person, and disagreements decided by a lead."""
    case = verdict.case
    if case.source == CaseSource.SECOND_REVIEW and case.about is not None:
        if case.about.ruling != verdict.ruling:
            _open_again(verdict, CaseSource.DISAGREEMENT, about=case.about, is_escalated=True)
        return
    if case.source in _LOOKS_AGAIN or verdict.reviewer_id is None:
        return
    first = case.items.filter(is_withdrawn=False).select_related("decision__revision").first()
    if first is not None and is_reviewed_twice(verdict.pk, review_terms(first.decision).second_review_share):
        _open_again(verdict, CaseSource.SECOND_REVIEW, about=verdict)


def _open_again(verdict: Verdict, source: CaseSource, *, about: Verdict, is_escalated: bool = False) -> None:
    """Open a case for another person about the first content of a decided case."""
    item = CaseItem.objects.filter(case=about.case_id, is_withdrawn=False).select_related("decision").first()
    if item is None:
        return
    deciders = {about.reviewer_id, verdict.reviewer_id} - {None}
    open_case(
        item.decision,
        source,
        about_id=about.pk,
        not_for=[user_id for user_id in deciders if user_id is not None],
        is_escalated=is_escalated,
        code=about.case.code,
    )
