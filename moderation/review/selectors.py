"""Reads about final decisions, authors and queues."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import orjson
from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from moderation.cases.models import Case, Guideline, ReviewQueue
from moderation.cases.queues import count_waiting
from moderation.cases.selectors import cases_of, names_code, waiting_cases
from moderation.deciding.contents import MAX_ID
from moderation.review.models import AccountProposal, Effect, FinalDecision, Strike
from moderation.review.strikes import active_strikes, weight_of_strikes
from moderation.review.transitions import ProposalStatus
from registry.kit.text import storable

_STRIKES = 100
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class AuthorRecord:
    """What is known of a tenant's author."""

    author_id: str
    contents: int
    restricted: int
    strikes: list[Strike]
    strike_weight: float
    proposals: list[AccountProposal]


def restricted_finals() -> Q:
    """Final decisions that only people may read of who may see restricted contents; also once their decision is gone."""
    wanted = Q(verdict__case__is_restricted=True)
    for code in Guideline.objects.filter(is_restricted=True).values_list("code", flat=True):
        wanted |= names_code("codes", code)
    return wanted


def author_record(tenant_id: int | None, author_id: str) -> AuthorRecord:
    kept_id = storable(author_id, MAX_ID + 1)  # longer ones are nobody's
    finals = FinalDecision.objects.filter(tenant=tenant_id, author_id=kept_id)
    newest = finals.filter(~Exists(FinalDecision.objects.filter(replaces=OuterRef("pk"))))
    counts = newest.aggregate(contents=Count("pk"), restricted=Count("pk", filter=~Q(effect=Effect.NONE)))
    strikes = active_strikes(tenant_id, kept_id).select_related("final")
    proposals = AccountProposal.objects.filter(
        tenant=tenant_id, author_id=kept_id, status=ProposalStatus.OPEN
    ).select_related("action")
    return AuthorRecord(
        author_id=author_id,
        contents=counts["contents"],
        restricted=counts["restricted"],
        strikes=list(strikes[:_STRIKES]),
        strike_weight=weight_of_strikes(tenant_id, kept_id),
        proposals=list(proposals),
    )


@dataclass(frozen=True, slots=True)
class QueueLength:
    """How many cases wait, how many of them are overdue, and how long the oldest has waited."""

    name: str
    title: str
    waiting: int
    overdue: int
    oldest_seconds: int | None


def queue_lengths(tenant_id: int | None, now: datetime) -> list[QueueLength]:
    """Of the queues that take this tenant's cases, with these cases only; None: of all queues and tenants."""
    queues = ReviewQueue.objects.prefetch_related("tenants")
    if tenant_id is not None:
        queues = queues.filter(Q(tenants=None) | Q(tenants=tenant_id)).distinct()
    cases = _cases_within(tenant_id)
    return [_length(cases.filter(cases_of(queue)), queue.name, queue.title, now) for queue in queues]


def all_waiting(tenant_id: int | None, now: datetime) -> QueueLength:
    return _length(_cases_within(tenant_id), "", "", now)


def _cases_within(tenant_id: int | None) -> QuerySet[Case]:
    return waiting_cases() if tenant_id is None else waiting_cases().filter(tenant=tenant_id)


def _length(cases: QuerySet[Case], name: str, title: str, now: datetime) -> QueueLength:
    count = count_waiting(cases, now)
    age_s = max(0, int((now - count.oldest_at).total_seconds())) if count.oldest_at is not None else None
    return QueueLength(name, title, count.waiting, count.overdue, age_s)


def statements_between(
    tenant_id: int | None, since: datetime, until: datetime, *, after: int = 0, at_most: int
) -> list[int]:
    """The ids of final decisions with a statement of reasons, oldest first, from the one behind `after` on."""
    rows = FinalDecision.objects.filter(made_at__gte=since, made_at__lt=until, pk__gt=after)
    rows = rows.exclude(effect=Effect.NONE)
    if tenant_id is not None:
        rows = rows.filter(tenant=tenant_id)
    return list(rows.order_by("pk").values_list("pk", flat=True)[:at_most])


def statement_lines(ids: list[int]) -> Iterator[bytes]:
    """Their statements, one JSON object a line."""
    for start in range(0, len(ids), _AT_ONCE):
        rows = FinalDecision.objects.filter(pk__in=ids[start : start + _AT_ONCE]).order_by("pk")
        for statement in rows.values_list("statement", flat=True):
            yield orjson.dumps(statement) + b"\n"
