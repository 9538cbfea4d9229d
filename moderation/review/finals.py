"""What stands: verdicts become final, and so do decisions that need no person. Subscribers are told, in order per content."""

import hashlib
import hmac
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from django.db import IntegrityError, transaction
from django.db.models import Max, QuerySet
from django.utils import timezone

from moderation.cases.models import LOOKS_AGAIN, Case, CaseItem, CaseSource, Guideline
from moderation.cases.opening import keep_up_with, open_case, restrict_cases_about, withdraw_cases
from moderation.cases.transitions import CaseStatus
from moderation.deciding.answers import stored_explanation
from moderation.deciding.awaiting import work_off
from moderation.deciding.models import Awaits, Decision
from moderation.policies.models import PolicyRevision
from moderation.policies.rules import ReviewTerms, RuleEffect, Ruling, read_review_terms
from moderation.review.models import Effect, FinalDecision, Verdict
from moderation.review.restrictions import notice_of, statement_for
from moderation.review.statements import DecisionMaker, SourceType
from moderation.review.strikes import add_strike, remove_strikes
from moderation.review.transitions import VerdictStatus
from registry.access.policies import task_actor
from registry.errors import StaleState
from registry.kit.loops import DATABASE_AWAY
from registry.kit.registrations import Registrations
from registry.record import leases
from registry.record.audit import audit_key, record_change
from registry.record.events import emit

log = structlog.get_logger("roundhouse.moderation")

# What else follows from a final verdict, in the same transaction: appeals and reports are answered.
ON_FINAL: Registrations[Callable[[Verdict, Sequence[FinalDecision]], None]] = Registrations("final verdict")
# Who brought a content to a person, as statements say it; None: nobody, we looked by ourselves.
STATEMENT_SOURCES: Registrations[Callable[[Verdict], SourceType | None]] = Registrations("statement source")

_LEASE, _LEASE_S = "moderation.finals", 60.0
_MAY_CONFIRM = (*LOOKS_AGAIN, CaseSource.REPORT)  # what stands already is not written again
_AT_ONCE = 500
BLOCKED, ALLOWED = "blocked", "allowed"  # what stands without a person has one of these for an action


def make_final(*, now: datetime | None = None, within_s: float = 20.0) -> int:
    """Make due verdicts final, and decisions that need no person; return how many. One process at a time does this."""
    due = Verdict.objects.filter(status=VerdictStatus.PENDING, final_at__lte=now or timezone.now())
    if not due.exists() and not Decision.objects.filter(awaits=Awaits.FINAL).exists():
        return 0
    ends_at, made = time.monotonic() + within_s, 0
    with leases.held(_LEASE, for_s=_LEASE_S) as lease:
        if lease is None:
            return 0
        for verdict_id in list(due.order_by("final_at").values_list("pk", flat=True)[:_AT_ONCE]):
            made += _finish_alone(verdict_id)
            lease.renew()
        while time.monotonic() < ends_at:
            if not (done := work_off(Awaits.FINAL, _stand, failure="what stands could not be written")):
                break
            made += done
            lease.renew()
    return made


def _finish_alone(verdict_id: int) -> bool:
    """One that cannot be made final holds up no other; the next round tries it again."""
    try:
        return _finish(verdict_id)
    except DATABASE_AWAY:
        raise
    except Exception as error:
        log.error("a verdict could not be made final", verdict=verdict_id, exc_info=error)
        return False


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
        restrict_cases_about(case)
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
        by=task_actor("moderation.reviews"),
    )
    return True


def _add_finals(verdict: Verdict) -> list[FinalDecision]:
    """What stands about each content of the case from now on, where that is something new."""
    guidelines = {row.code: row for row in Guideline.objects.filter(code__in=verdict.codes)}
    finals, decisions = [], _contents_of(verdict)
    terms, struck = _terms_of(decisions), set[str]()
    for decision in decisions:
        before = latest_final(decision)
        if before is not None and before.verdict_id == verdict.pk:
            continue  # another item of the same content
        if newer_content(decision) is not None:
            continue  # nobody looked at what its author has made of it
        if verdict.case.source in _MAY_CONFIRM and before is not None and _is_same(before, verdict):
            continue
        erased = _erased_sequences([decision]).get((decision.tenant_id, content_key(decision)), 0)
        final = _new_final(decision, before, erased, guidelines, terms[decision.revision_id], verdict)
        final.save(force_insert=True)
        if before is not None and _is_about(before, decision):
            remove_strikes(before)
        if final.author_id not in struck:  # one for the verdict, however often the author said it
            struck.add(final.author_id)
            add_strike(final, verdict.action)
        finals.append(final)
    return finals


def _contents_of(verdict: Verdict) -> list[Decision]:
    """Those of the case. A disagreement is about all contents of the first verdict, where that still stands."""
    case, first = verdict.case, verdict.case.about
    is_disagreement = case.source == CaseSource.DISAGREEMENT and first is not None
    of_case = first.case_id if is_disagreement and first is not None else case.pk
    contents = Decision.objects.filter(case_items__case=of_case, case_items__is_withdrawn=False)
    decisions = list(contents.select_related("tenant").order_by("pk"))
    if not is_disagreement or first is None:
        return decisions
    standing = [(decision, latest_final(decision)) for decision in decisions]
    return [decision for decision, final in standing if final is not None and final.verdict_id == first.pk]


def _is_about(final: FinalDecision, decision: Decision) -> bool:
    """A strike for what a content said before stays, whatever is decided about what it says now."""
    return final.decision is not None and final.decision.digest == decision.digest


def newer_content(decision: Decision) -> Decision | None:
    """What the author has made of the content since, if it says something else now."""
    if not decision.content_id:
        return None
    same_id = Decision.objects.filter(tenant=decision.tenant_id, content_id=decision.content_id)
    newest = same_id.order_by("-received_at", "-decided_at").first()
    return None if newest is None or newest.digest == decision.digest else newest


def _is_same(final: FinalDecision, verdict: Verdict) -> bool:
    return final.ruling == verdict.ruling and final.effect == verdict.action.effect


def latest_final(decision: Decision) -> FinalDecision | None:
    """What stands about a content."""
    return finals_of(decision).order_by("-sequence").first()


def finals_of(decision: Decision) -> QuerySet[FinalDecision]:
    return FinalDecision.objects.filter(tenant=decision.tenant_id, content_key=content_key(decision))


def content_key(decision: Decision) -> str:
    return decision.content_id or decision.callers_request_id


def erased_key(tenant_id: int | None, key: str) -> str:
    """The key that replaces a content's when it is erased. Nobody can tell the content from it without the audit key."""
    salt = hmac.digest(audit_key(), b"keys of erased contents", "sha256")
    return f"erased:{hmac.digest(salt, f'{tenant_id or 0}:{key}'.encode(), 'sha256').hex()}"


def finals_standing(decisions: Sequence[Decision]) -> dict[UUID, FinalDecision]:
    """By decision: what stands about its content, unless the content was sent and decided again since."""
    latest = _latest_finals(decisions)
    standing = {}
    for decision in decisions:
        final = latest.get((decision.tenant_id, content_key(decision)))
        if final is not None and _stands_for(final, decision):
            standing[decision.pk] = final
    return standing


def _stands_for(final: FinalDecision, decision: Decision) -> bool:
    """Not if the content was sent again after the one that it is about, and before it was made or with other words."""
    about = final.decision
    if about is None or about.received_at >= decision.received_at:
        return final.made_at >= decision.received_at
    return bytes(about.digest) == bytes(decision.digest) and final.made_at >= decision.received_at


def standing_final(decision: Decision) -> FinalDecision | None:
    """What stands about a content, unless it was sent and decided again since."""
    return finals_standing([decision]).get(decision.pk)


def _new_final(
    decision: Decision,
    before: FinalDecision | None,
    erased_sequence: int,
    guidelines: Mapping[str, Guideline],
    terms: ReviewTerms,
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
        sequence=max(before.sequence if before is not None else 0, erased_sequence) + 1,
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
    final.statement = statement_for(final, decision, guideline, source=_statement_source(verdict))
    final.notice = notice_of(final, decision, guideline, appeal_days=terms.appeal_days)
    return final


def _blocking_codes(decision: Decision) -> list[str]:
    """Without what was only noted, or would only need a person."""
    evidence = stored_explanation(decision).evidence
    return list(
        dict.fromkeys(one.code for one in evidence if not one.is_shadow and one.effect is RuleEffect.BLOCK)
    )


def _statement_source(verdict: Verdict | None) -> SourceType:
    known = [source(verdict) for source in STATEMENT_SOURCES] if verdict is not None else []
    return next((source for source in known if source is not None), SourceType.VOLUNTARY)


def review_terms(decision: Decision) -> ReviewTerms:
    """Those of the revision that decided."""
    return _terms_of([decision])[decision.revision_id]


def _terms_of(decisions: Iterable[Decision]) -> dict[int, ReviewTerms]:
    """By revision. Their rules, which may be large, are not read."""
    revisions = PolicyRevision.objects.filter(pk__in={decision.revision_id for decision in decisions})
    return {
        pk: read_review_terms({"review": review or {}})
        for pk, review in revisions.values_list("pk", "content__review")
    }


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
        "request_id": decision.callers_request_id if decision is not None else None,
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


def stand_now(decision: Decision) -> None:
    """Write what stands about a content that was decided a moment ago, instead of waiting for the next round."""
    if not Decision.objects.filter(pk=decision.pk, awaits=Awaits.FINAL).exists():
        return
    try:
        _stand([decision.pk])
    except IntegrityError:  # a verdict about the same content became final at this moment
        _stand([decision.pk])


@transaction.atomic
def _stand(ids: Sequence[UUID]) -> int:
    """What the machine decided alone stands; of contents that waited for a detector, subscribers are told."""
    rows = Decision.objects.select_for_update(of=("self",)).filter(pk__in=ids, awaits=Awaits.FINAL)
    decisions = list(rows.select_related("tenant").order_by("received_at", "decided_at"))
    guidelines = {row.code: row for row in Guideline.objects.all()}
    terms = _terms_of(decisions)
    standing = _latest_finals(decisions)
    erased = _erased_sequences(decisions)
    new: dict[tuple[int | None, str], FinalDecision] = {}
    for decision in decisions:
        key = (decision.tenant_id, content_key(decision))
        if key in new:  # the same content again, which replaces what is not written yet
            _add_all(new, standing)
        if not _comes_too_late(decision, standing.get(key)):
            new[key] = _new_final(
                decision, standing.get(key), erased.get(key, 0), guidelines, terms[decision.revision_id]
            )
    _add_all(new, standing)
    waited = [decision.redecides_id for decision in decisions if decision.redecides_id is not None]
    withdraw_cases(Decision.objects.filter(pk__in=waited).only("pk"))
    keep_up_with(decisions)
    Decision.objects.filter(pk__in=[decision.pk for decision in decisions]).update(awaits=Awaits.NOTHING)
    return len(decisions)


def _add_all(
    new: dict[tuple[int | None, str], FinalDecision], standing: dict[tuple[int | None, str], FinalDecision]
) -> None:
    """Write the new ones, which stand from now on."""
    FinalDecision.objects.bulk_create(new.values())
    for final in new.values():
        if final.decision is not None and final.decision.redecides_id is not None:
            _tell(final, None)
    standing |= new
    new.clear()


def _latest_finals(decisions: Iterable[Decision]) -> dict[tuple[int | None, str], FinalDecision]:
    """What stands about these contents, in one query for each tenant, as the index begins with it."""
    by_tenant: dict[int | None, set[str]] = defaultdict(set)
    for decision in decisions:
        by_tenant[decision.tenant_id].add(content_key(decision))
    return {
        (final.tenant_id, final.content_key): final
        for tenant_id, keys in by_tenant.items()
        for final in FinalDecision.objects.filter(tenant=tenant_id, content_key__in=keys)
        .select_related("decision", "replaces", "tenant")
        .order_by("sequence")
    }


def _erased_sequences(decisions: Sequence[Decision]) -> dict[tuple[int | None, str], int]:
    """The highest numbers of these contents that were erased: subscribers have seen them, so a content goes on from there.

    Ask after asking what stands, or an erasure that comes between is seen by neither.
    """
    by_tenant: dict[int | None, dict[str, str]] = defaultdict(dict)
    for decision in decisions:
        if key := decision.content_id:
            by_tenant[decision.tenant_id][erased_key(decision.tenant_id, key)] = key
    return {
        (tenant_id, keys[erased]): sequence
        for tenant_id, keys in by_tenant.items()
        for erased, sequence in FinalDecision.objects.filter(tenant=tenant_id, content_key__in=keys)
        .order_by()
        .values_list("content_key")
        .annotate(Max("sequence"))
    }


def _comes_too_late(decision: Decision, standing: FinalDecision | None) -> bool:
    """Whether something newer stands: the author changed a content while it waited for a detector, for instance."""
    if decision.redecides_id is not None and newer_content(decision) is not None:
        return True
    newest = standing.decision if standing is not None else None
    return newest is not None and newest.received_at > decision.received_at


def _follow_up(verdict: Verdict) -> None:
    """Have a share of verdicts given again by another person, and disagreements decided by a lead."""
    case = verdict.case
    if case.source == CaseSource.SECOND_REVIEW and case.about is not None:
        if case.about.ruling != verdict.ruling:
            _open_again(verdict, CaseSource.DISAGREEMENT, about=case.about, is_escalated=True)
        return
    if case.source in LOOKS_AGAIN or verdict.reviewer_id is None:
        return
    first = case.items.filter(is_withdrawn=False).select_related("decision").first()
    if first is not None and is_reviewed_twice(verdict.pk, review_terms(first.decision).second_review_share):
        _open_again(verdict, CaseSource.SECOND_REVIEW, about=verdict)


def is_reviewed_twice(verdict_id: int, share: float) -> bool:
    """Evenly spread, and the same whenever it is asked, so that a crash neither adds nor drops one."""
    digest = hashlib.blake2b(str(verdict_id).encode(), digest_size=8, person=b"second review").digest()
    return int.from_bytes(digest, "big") < share * 2**64


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
        is_restricted=about.case.is_restricted or are_restricted([*about.codes, *verdict.codes]),
        code=about.case.code,
    )


def are_restricted(codes: Sequence[str]) -> bool:
    """Whether one of these violations is for few eyes only."""
    return Guideline.objects.filter(code__in=codes, is_restricted=True).exists()
