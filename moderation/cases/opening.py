"""Opens cases for decisions that await a person, and withdraws those that need nobody any more."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Count, Q
from django.utils import timezone

from moderation.cases.likeness import Likeness, PictureRows, likeness_of, unlike_any
from moderation.cases.models import Case, CaseItem, CaseSource, Guideline, Harm
from moderation.cases.transitions import CaseStatus
from moderation.deciding.answers import stored_explanation
from moderation.deciding.awaiting import work_off
from moderation.deciding.findings import Findings
from moderation.deciding.models import Awaits, Decision
from moderation.deciding.selectors import newer_decisions
from moderation.policies.rules import Ruling
from registry.record import leases

log = structlog.get_logger("roundhouse.moderation")

_LEASE, _LEASE_S = "moderation.cases", 60.0
_WITHDRAWN_AT_ONCE = 5_000
MOST_CONTENTS = 200  # of a case: its verdict becomes final in one transaction
_UNSCORED = 0.5  # where no detector says how sure it is
UNKNOWN_HARM, UNKNOWN_HOURS = Harm.MEDIUM, 24  # of violations without a guideline
# Cases of these are only about the content as it is now; a newer one of the same id replaces them.
_OF_THE_NEWEST = (CaseSource.REVIEW, CaseSource.FAILURE, CaseSource.AUDIT)


def open_cases(*, within_s: float = 20.0) -> int:
    """Open a case for each decision that awaits one, or add it to the case of an equal content; return how many decisions.

    One process at a time does this.
    """
    if not Decision.objects.filter(awaits=Awaits.CASE).exists():
        return 0
    ends_at, opened = time.monotonic() + within_s, 0
    with leases.held(_LEASE, for_s=_LEASE_S) as lease:
        while lease is not None and time.monotonic() < ends_at:
            if not (done := work_off(Awaits.CASE, _open, failure="no case could be opened")):
                break
            opened += done
            lease.renew()
    return opened


def open_now(decision: Decision) -> None:
    """Open the case of a decision that awaits one, instead of waiting for the next round. Call it in a transaction."""
    _open([decision.pk])


def open_case(
    decision: Decision,
    source: CaseSource,
    *,
    due_at: datetime | None = None,
    about_id: int | None = None,
    not_for: Iterable[int] = (),
    is_escalated: bool = False,
    is_restricted: bool = False,
    code: str = "",
    note: str = "",
) -> Case:
    """Open a case of its own for one content. Call it in a transaction.

    It is restricted if an earlier case of the content was, whatever violation is named now.
    """
    guidelines = {row.code: row for row in Guideline.objects.all()}
    case = _new_case(decision, source, _likeness(decision), guidelines, code)
    was_restricted = Case.objects.filter(items__decision=decision, is_restricted=True)
    case.is_restricted = case.is_restricted or is_restricted or was_restricted.exists()
    case.about_id, case.is_escalated, case.note = about_id, is_escalated, note
    case.due_at = min(due_at, case.due_at) if due_at is not None else case.due_at
    case.save(force_insert=True)
    CaseItem.objects.create(case=case, decision=decision, audit_weight=decision.audit_weight)
    case.not_for.set(not_for)
    return case


def withdraw_cases(decisions: Iterable[Decision], *, sources: Sequence[CaseSource] = _OF_THE_NEWEST) -> int:
    """Take contents out of the cases that wait; a case without contents is withdrawn. Return how many cases were."""
    items = CaseItem.objects.filter(
        decision__in=[decision.pk for decision in decisions],
        is_withdrawn=False,
        case__status=CaseStatus.WAITING,
        case__source__in=sources,
    )
    with transaction.atomic():
        ids = sorted(set(items.values_list("case_id", flat=True)))
        list(Case.objects.select_for_update().filter(pk__in=ids).order_by("pk"))
        items.update(is_withdrawn=True)
        left = CaseItem.objects.filter(case__in=ids, is_withdrawn=False)
        for case_id, count in left.order_by().values_list("case").annotate(Count("pk")):
            Case.objects.filter(pk=case_id).update(item_count=count)
        empty = Case.objects.filter(pk__in=ids, status=CaseStatus.WAITING).exclude(
            pk__in=left.values("case_id")
        )
        return empty.update(status=CaseStatus.WITHDRAWN, ended_at=timezone.now())


def restrict_cases_about(case: Case) -> None:
    """Restrict the case, and all others with one of its contents: who may not see it here may not see it there."""
    contents = CaseItem.objects.filter(case=case).values("decision")
    Case.objects.filter(items__decision__in=contents, is_restricted=False).update(is_restricted=True)


def withdraw_settled_failures() -> int:
    """Withdraw cases of failed detectors whose contents were decided by themselves; keep those that are a person's now."""
    settled = CaseItem.objects.filter(
        case__status=CaseStatus.WAITING,
        case__source=CaseSource.FAILURE,
        is_withdrawn=False,
        decision__is_held=False,
    )
    overtaken = settled.filter(decision__redecided_by__isnull=False)
    ids = overtaken.values("decision")[:_WITHDRAWN_AT_ONCE]
    withdrawn = withdraw_cases(Decision.objects.filter(pk__in=ids).only("pk"))
    # Given up after two days: no detector came back.
    left = settled.exclude(decision__redecided_by__isnull=False).values("case_id")
    Case.objects.filter(pk__in=list(left), status=CaseStatus.WAITING).update(source=CaseSource.REVIEW)
    return withdrawn


@transaction.atomic
def _open(ids: Sequence[UUID]) -> int:
    """All of them, or none. Locked, so that nobody else opens a second case for one at the same time."""
    rows = Decision.objects.select_for_update(of=("self",)).filter(pk__in=ids, awaits=Awaits.CASE)
    batch: list[Any] = list(
        rows.annotate(is_superseded=newer_decisions()).select_related("content").order_by("pk")
    )
    _withdraw_older(batch)
    keep_up_with(batch)
    batch_left = _moved(batch)
    wanted = [
        (decision, _source(decision), _likeness(decision))
        for decision in batch_left
        if not decision.is_superseded
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
    return len(batch)


def _join(items: Sequence[CaseItem], guidelines: Mapping[str, Guideline]) -> None:
    """Add contents to cases. A case that was decided in the meantime takes no more, so those get a case of their own."""
    by_case: dict[int, list[CaseItem]] = defaultdict(list)
    for item in items:
        by_case[item.case.pk].append(item)
    for case_id, added in sorted(by_case.items()):
        decisions = [item.decision for item in added]
        locked = Case.objects.select_for_update().filter(pk=case_id, status=CaseStatus.WAITING)
        case = locked.first()
        if case is None:
            case = _new_case(decisions[0], _source(decisions[0]), _likeness(decisions[0]), guidelines)
            case.item_count = 0
        for decision in decisions:
            _make_as_grave(case, _new_case(decision, CaseSource(case.source), unlike_any(), guidelines))
        case.item_count += len(added)
        case.save()
        for item in added:
            item.case = case
        CaseItem.objects.bulk_create(added)


def _make_as_grave(case: Case, added: Case) -> None:
    """Equal contents may have been decided by other rules: a case is as urgent, and as restricted, as any of them."""
    if added.harm > case.harm:
        case.code, case.due_at = added.code, min(case.due_at, added.due_at)
    case.harm, case.score = max(case.harm, added.harm), max(case.score, added.score)
    case.weight = Harm(case.harm).weight * case.score
    case.is_restricted = case.is_restricted or added.is_restricted


class _Waiting:
    """The cases that wait, by likeness of their contents."""

    def __init__(self, keys: Iterable[bytes]) -> None:
        stored: dict[_GroupKey, list[tuple[int, list[str]]]] = defaultdict(list)
        rows = Case.objects.filter(
            status=CaseStatus.WAITING, likeness__in=set(keys), about=None, item_count__lt=MOST_CONTENTS
        )
        columns = ("pk", "pictures", "tenant_id", "policy_id", "source", "likeness")
        for case_id, pictures, tenant_id, policy_id, source, likeness in rows.order_by("pk").values_list(
            *columns
        ):
            stored[_GroupKey(tenant_id, policy_id, source, bytes(likeness))].append((case_id, pictures))
        self._cases: dict[_GroupKey, list[int | Case]] = defaultdict(list)
        self._pictures: dict[_GroupKey, PictureRows] = {}
        for key, group in stored.items():
            self._cases[key] += [case_id for case_id, _ in group]
            self._pictures[key] = PictureRows([pictures for _, pictures in group])

    def add(self, case: Case) -> None:
        key = _GroupKey(case.tenant_id, case.policy_id, case.source, bytes(case.likeness))
        if key in self._pictures:
            self._pictures[key].add(case.pictures)
        else:
            self._pictures[key] = PictureRows([case.pictures])
        self._cases[key].append(case)

    def find(self, decision: Decision, source: CaseSource, likeness: Likeness) -> Case | None:
        key = _GroupKey(decision.tenant_id, decision.policy_id, source, likeness.key)
        if key not in self._pictures:
            return None
        place = self._pictures[key].first_alike(likeness.pictures) if likeness.pictures else 0
        if place is None:
            return None
        case = self._cases[key][place]
        return case if isinstance(case, Case) else Case(pk=case)


class _GroupKey(NamedTuple):
    """Only cases that agree in all of these can be joined."""

    tenant_id: int | None
    policy_id: int
    source: str
    likeness: bytes


def _withdraw_older(batch: Sequence[Any]) -> None:
    """Cases of what these contents said before, and of the decisions that these ones overtake."""
    by_tenant: dict[int | None, set[str]] = defaultdict(set)
    for decision in batch:
        if decision.content_id:
            by_tenant[decision.tenant_id].add(decision.content_id)
    same_contents = Q(pk__in=[])
    for tenant_id, ids in by_tenant.items():
        same_contents |= Q(tenant=tenant_id, content_id__in=ids)
    waiting = Decision.objects.filter(case_items__case__status=CaseStatus.WAITING).only("pk").distinct()
    said_again = _by_content(batch)
    overtaken = [decision.redecides_id for decision in batch if decision.redecides_id]
    withdraw_cases(
        [
            *(
                one
                for one in waiting.only("pk", "tenant", "content_id", "digest")
                .filter(same_contents)
                .filter(newer_decisions())
                if _content_of(one) not in said_again
            ),
            *waiting.filter(pk__in=overtaken),
        ]
    )


def _by_content(batch: Iterable[Any]) -> dict[tuple[object, ...], Decision]:
    """The newest decisions of these that need a person, by what they are about."""
    return {_content_of(one): one for one in batch if one.content_id and not one.is_superseded}


def _content_of(decision: Decision) -> tuple[object, ...]:
    return (decision.tenant_id, decision.content_id, bytes(decision.digest))


def _moved(batch: Sequence[Any]) -> list[Any]:
    """Put contents that were sent again unchanged into the cases that wait for them; return the others.

    Their cases keep their age, their deadline, and whoever they were passed on to.
    """
    said_again = _by_content(batch)
    ids = [decision.content_id for decision in said_again.values()]
    waiting = CaseItem.objects.filter(
        decision__content_id__in=ids,
        is_withdrawn=False,
        case__status=CaseStatus.WAITING,
        case__source__in=_OF_THE_NEWEST,
    ).select_related("decision", "case")
    moved = set()
    for item in waiting:
        newest = said_again.get(_content_of(item.decision))
        if newest is not None and newest.pk not in moved and item.case.source == _source(newest):
            item.decision = newest
            item.save(update_fields=["decision"])
            moved.add(newest.pk)
    return [decision for decision in batch if decision.pk not in moved]


def keep_up_with(decisions: Iterable[Decision]) -> None:
    """Contents that waited for a detector were decided again: cases of people look at them as they are kept now."""
    for decision in decisions:
        if decision.redecides_id is not None:
            items = CaseItem.objects.filter(decision=decision.redecides_id, is_withdrawn=False)
            items.filter(case__status=CaseStatus.WAITING).update(decision=decision)


def withdraw_superseded() -> int:
    """Withdraw cases about contents that their authors have changed since."""
    waiting = Decision.objects.filter(
        case_items__case__status=CaseStatus.WAITING,
        case_items__case__source__in=_OF_THE_NEWEST,
        case_items__is_withdrawn=False,
    )
    return withdraw_cases(waiting.filter(newer_decisions()).only("pk").distinct())


def _source(decision: Decision) -> CaseSource:
    if decision.ruling == Ruling.ALLOW:
        return CaseSource.AUDIT
    return CaseSource.FAILURE if decision.is_held else CaseSource.REVIEW


def _likeness(decision: Decision) -> Likeness:
    content = getattr(decision, "content", None)
    if content is None:
        return unlike_any()
    return likeness_of(content.text, content.title, Findings.from_bytes(decision.findings))


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
        # Also by what was found, if somebody names another violation: that must not show it to more people.
        is_restricted=any(
            guidelines[one].is_restricted for one in [*codes, *decision.codes] if one in guidelines
        ),
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
