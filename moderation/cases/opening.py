"""Opens cases for decisions that await a person, and withdraws those that need nobody any more."""

import os
import socket
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from moderation.cases.likeness import Likeness, first_alike, likeness_of
from moderation.cases.models import Case, CaseItem, CaseSource, Guideline, Harm
from moderation.cases.transitions import CaseStatus
from moderation.deciding.answers import stored_explanation
from moderation.deciding.findings import Findings
from moderation.deciding.models import Awaits, Decision
from moderation.deciding.selectors import newer_decisions
from moderation.policies.rules import Ruling
from registry.record import leases

log = structlog.get_logger("roundhouse.moderation")

_LEASE, _LEASE_S = "moderation.cases", 60.0
_AT_ONCE = 500
_UNSCORED = 0.5  # where no detector says how sure it is
UNKNOWN_HARM, UNKNOWN_HOURS = Harm.MEDIUM, 24  # of violations without a guideline
# Cases of these are only about the content as it is now; a newer one of the same id replaces them.
_OF_THE_NEWEST = (CaseSource.REVIEW, CaseSource.FAILURE, CaseSource.AUDIT)


def open_cases(*, within_s: float = 20.0) -> int:
    """Open a case for each decision that awaits one, or add it to the case of an equal content; return how many decisions.

    One process at a time does this.
    """
    holder = f"{socket.gethostname()}:{os.getpid()}"
    if not leases.claim(_LEASE, holder=holder, for_s=_LEASE_S):
        return 0
    ends_at, opened = time.monotonic() + within_s, 0
    try:
        while time.monotonic() < ends_at and (batch := _awaiting()):
            _open(batch)
            opened += len(batch)
            leases.claim(_LEASE, holder=holder, for_s=_LEASE_S)
        withdraw_settled_failures()
    finally:
        leases.release(_LEASE, holder=holder)
    return opened


def open_case(
    decision: Decision,
    source: CaseSource,
    *,
    due_at: datetime | None = None,
    about_id: int | None = None,
    not_for: Iterable[int] = (),
    is_escalated: bool = False,
    code: str = "",
    note: str = "",
) -> Case:
    """Open a case of its own for one content. Call it in a transaction."""
    guidelines = {row.code: row for row in Guideline.objects.all()}
    case = _new_case(decision, source, _likeness(decision), guidelines, code)
    case.about_id, case.is_escalated, case.note = about_id, is_escalated, note
    case.due_at = due_at or case.due_at
    case.save(force_insert=True)
    CaseItem.objects.create(case=case, decision=decision, audit_weight=decision.audit_weight)
    case.not_for.set(not_for)
    return case


def withdraw_cases(decisions: Iterable[Decision], *, sources: Sequence[CaseSource] = _OF_THE_NEWEST) -> int:
    """Take contents out of the cases that wait; a case without contents is withdrawn. Return how many cases were."""
    items = CaseItem.objects.filter(
        decision__in=list(decisions),
        is_withdrawn=False,
        case__status=CaseStatus.WAITING,
        case__source__in=sources,
    )
    with transaction.atomic():
        ids = sorted(set(items.values_list("case_id", flat=True)))
        list(Case.objects.select_for_update().filter(pk__in=ids).order_by("pk"))
        items.update(is_withdrawn=True)
        left = CaseItem.objects.filter(case__in=ids, is_withdrawn=False).values("case_id")
        empty = Case.objects.filter(pk__in=ids, status=CaseStatus.WAITING).exclude(pk__in=left)
        return empty.update(status=CaseStatus.WITHDRAWN, ended_at=timezone.now())


def withdraw_settled_failures() -> int:
    """Withdraw cases of failed detectors whose contents were decided by themselves; keep those that are a person's now."""
    settled = CaseItem.objects.filter(
        case__status=CaseStatus.WAITING,
        case__source=CaseSource.FAILURE,
        is_withdrawn=False,
        decision__is_held=False,
    )
    overtaken = settled.filter(decision__redecided_by__isnull=False)
    withdrawn = withdraw_cases(Decision.objects.filter(pk__in=overtaken.values("decision")[:5_000]))
    # Given up after two days: no detector came back.
    left = settled.exclude(decision__redecided_by__isnull=False).values("case_id")
    Case.objects.filter(pk__in=list(left), status=CaseStatus.WAITING).update(source=CaseSource.REVIEW)
    return withdrawn


def _awaiting() -> list[Decision]:
    rows = Decision.objects.filter(awaits=Awaits.CASE).annotate(is_superseded=newer_decisions())
    return list(rows.select_related("content").order_by("pk")[:_AT_ONCE])


@transaction.atomic
def _open(batch: Sequence[Any]) -> None:
    _withdraw_older(batch)
    wanted = [
        (decision, _source(decision), _likeness(decision)) for decision in batch if not decision.is_superseded
    ]
    guidelines = {row.code: row for row in Guideline.objects.all()}
    waiting = _Waiting(likeness.key for _, _, likeness in wanted)
    new: list[tuple[Case, Decision]] = []
    joined: list[CaseItem] = []
    for decision, source, likeness in wanted:
        case = waiting.find(decision, source, likeness)
        if case is None:
            case = _new_case(decision, source, likeness, guidelines)
            waiting.add(case)
            new.append((case, decision))
        else:
            joined.append(CaseItem(case=case, decision=decision, audit_weight=decision.audit_weight))
    Case.objects.bulk_create([case for case, _ in new])
    CaseItem.objects.bulk_create(
        [CaseItem(case=case, decision=one, audit_weight=one.audit_weight) for case, one in new]
    )
    _join(joined, guidelines)
    Decision.objects.filter(pk__in=[decision.pk for decision in batch]).update(awaits=Awaits.NOTHING)


def _join(items: Sequence[CaseItem], guidelines: Mapping[str, Guideline]) -> None:
    """Add contents to cases. A case that was decided in the meantime takes no more, so those get a case of their own."""
    by_case: dict[int, list[CaseItem]] = defaultdict(list)
    for item in items:
        by_case[item.case.pk].append(item)
    for case_id, added in sorted(by_case.items()):
        waiting = Case.objects.filter(pk=case_id, status=CaseStatus.WAITING)
        if not waiting.update(item_count=F("item_count") + len(added)):
            case = _new_case(
                added[0].decision, _source(added[0].decision), _likeness(added[0].decision), guidelines
            )
            case.item_count = len(added)
            case.save(force_insert=True)
            for item in added:
                item.case = case
        CaseItem.objects.bulk_create(added)


class _Waiting:
    """The cases that wait, by likeness of their contents."""

    def __init__(self, keys: Iterable[bytes]) -> None:
        self._cases: dict[tuple[object, ...], list[Case]] = defaultdict(list)
        rows = Case.objects.filter(status=CaseStatus.WAITING, likeness__in=set(keys), about=None)
        for case in rows.order_by("pk"):
            self.add(case)

    def add(self, case: Case) -> None:
        self._cases[self._key(case.tenant_id, case.policy_id, case.source, bytes(case.likeness))].append(case)

    def find(self, decision: Decision, source: CaseSource, likeness: Likeness) -> Case | None:
        cases = self._cases[self._key(decision.tenant_id, decision.policy_id, source, likeness.key)]
        place = first_alike(likeness, [case.pictures for case in cases])
        return None if place is None else cases[place]

    @staticmethod
    def _key(*parts: object) -> tuple[object, ...]:
        return parts


def _withdraw_older(batch: Sequence[Decision]) -> None:
    """Cases of what these contents said before, and of the decisions that these ones overtake."""
    older = Q(pk__in=[decision.redecides_id for decision in batch if decision.redecides_id])
    by_tenant: dict[int | None, set[str]] = defaultdict(set)
    for decision in batch:
        if decision.content_id:
            by_tenant[decision.tenant_id].add(decision.content_id)
    for tenant_id, ids in by_tenant.items():
        older |= Q(tenant=tenant_id, content_id__in=ids)
    known = Decision.objects.filter(older, case_items__case__status=CaseStatus.WAITING)
    withdraw_cases(known.exclude(pk__in=[decision.pk for decision in batch]).distinct())


def withdraw_superseded() -> int:
    """Withdraw cases about contents that their authors have changed since."""
    waiting = Decision.objects.filter(
        case_items__case__status=CaseStatus.WAITING,
        case_items__case__source__in=_OF_THE_NEWEST,
        case_items__is_withdrawn=False,
    )
    return withdraw_cases(waiting.filter(newer_decisions()).distinct())


def _source(decision: Decision) -> CaseSource:
    if decision.ruling == Ruling.ALLOW:
        return CaseSource.AUDIT
    return CaseSource.FAILURE if decision.is_held else CaseSource.REVIEW


def _likeness(decision: Decision) -> Likeness:
    content = getattr(decision, "content", None)
    text, title = (content.text, content.title) if content is not None else ("", "")
    return likeness_of(text, title, Findings.from_bytes(decision.findings))


def _new_case(
    decision: Decision,
    source: CaseSource,
    likeness: Likeness,
    guidelines: Mapping[str, Guideline],
    code: str = "",
) -> Case:
    now = timezone.now()
    codes = [code] if code else list(decision.codes)
    gravest = gravest_of(codes, guidelines)
    harm = Harm(gravest.harm) if gravest is not None else UNKNOWN_HARM
    score = _score(decision)
    return Case(
        tenant_id=decision.tenant_id,
        policy_id=decision.policy_id,
        source=source,
        code=gravest.code if gravest is not None else next(iter(codes), ""),
        harm=harm,
        score=score,
        weight=harm.weight * score,
        language=decision.language,
        context=decision.context,
        is_restricted=any(guidelines[one].is_restricted for one in codes if one in guidelines),
        likeness=likeness.key,
        pictures=list(likeness.pictures),
        opened_at=now,
        opened_s=now.timestamp(),
        due_at=now + timedelta(hours=gravest.hours if gravest is not None else UNKNOWN_HOURS),
    )


def gravest_of(codes: Iterable[str], guidelines: Mapping[str, Guideline]) -> Guideline | None:
    """The guideline on the violation that does the most harm; None if nobody described any of them."""
    known = (guidelines[code] for code in codes if code in guidelines)
    return max(known, key=lambda one: one.harm, default=None)


def _score(decision: Decision) -> float:
    """How sure the gravest evidence is."""
    evidence = [one for one in stored_explanation(decision).evidence if not one.is_shadow]
    return max((one.score for one in evidence), default=_UNSCORED)
