"""How long contents and decisions are kept. What somebody may still need stays longer."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from moderation.appeals.models import Appeal
from moderation.appeals.transitions import AppealStatus
from moderation.cases.models import CaseItem
from moderation.cases.transitions import CaseStatus
from moderation.deciding.models import Awaits, Decision, StoredContent, StoredPicture
from moderation.policies.models import Policy, PolicyRevision
from moderation.policies.rules import ReviewTerms, Ruling, read_review_terms
from moderation.privacy.leftovers import scrub_cases, scrub_texts
from moderation.reports.models import Report
from moderation.reports.transitions import ReportStatus
from moderation.review.models import FinalDecision

log = structlog.get_logger("roundhouse.moderation")

_AT_ONCE = 500
_READ_AT_ONCE = 20_000  # ids: one look through the table for many removals


def remove_old_contents(*, now: datetime | None = None) -> int:
    """Remove contents that are older than their policies keep them; return how many. Their decisions stay.

    The terms are those of the policy's current revision, or of the one that decided if the policy has none any more.
    """
    now, removed = now or timezone.now(), 0
    for policy in Policy.objects.select_related("current"):
        for revision_id, terms in _terms_of(policy):
            if terms.content_days is None:
                continue
            before = now - timedelta(days=terms.content_days)
            decided = Decision.objects.filter(_has_content(), policy=policy, received_at__lt=before)
            if revision_id is not None:
                decided = decided.filter(revision=revision_id)
            removed += _remove(decided, now, terms, _remove_contents)
    if removed:
        log.info("old contents were removed", count=removed)
    return removed


def remove_old_decisions(*, now: datetime | None = None) -> int:
    """Remove decisions that are older than ROUNDHOUSE_DECISION_DAYS, with their contents; return how many."""
    now, removed = now or timezone.now(), 0
    before = now - timedelta(days=settings.DECISION_DAYS)
    for policy in Policy.objects.select_related("current"):
        for revision_id, terms in _terms_of(policy):
            decided = Decision.objects.filter(policy=policy, received_at__lt=before)
            if revision_id is not None:
                decided = decided.filter(revision=revision_id)
            removed += _remove(decided, now, terms, _remove_decisions)
    if removed:
        log.info("old decisions were removed", count=removed)
    return removed


def needed_decisions(now: datetime, terms: ReviewTerms) -> Q:
    """Those whose contents somebody may still need.

    They wait for something, are in a case that is not over or on legal hold, or restrict a content whose author may
    still appeal: whoever decides again has to see it.
    """
    items = CaseItem.objects.filter(decision=OuterRef("pk"))
    open_cases = Q(case__status__in=[CaseStatus.WAITING, CaseStatus.DECIDED], is_withdrawn=False)
    reports = Report.objects.filter(decision=OuterRef("pk"), status=ReportStatus.OPEN)
    appeals = Appeal.objects.filter(contested__decision=OuterRef("pk"), status=AppealStatus.OPEN)
    replaced = FinalDecision.objects.filter(replaces=OuterRef("pk"))
    appealable = FinalDecision.objects.filter(
        ~Exists(replaced),
        decision=OuterRef("pk"),
        ruling=Ruling.BLOCK,
        made_at__gt=now - timedelta(days=terms.appeal_days),
    )
    return (
        Q(is_held=True)
        | ~Q(awaits=Awaits.NOTHING)
        | Q(Exists(items.filter(open_cases | Q(case__is_on_legal_hold=True))))
        | Q(Exists(reports))
        | Q(Exists(appeals))
        | Q(Exists(appealable))
    )


def _terms_of(policy: Policy) -> Iterable[tuple[int | None, ReviewTerms]]:
    """The policy's terms, with the revision that they are for; None: for all."""
    if policy.current is not None and not policy.retired_at:
        return [(None, read_review_terms(policy.current.content))]
    revisions = PolicyRevision.objects.filter(policy=policy)
    return [(one.pk, read_review_terms(one.content)) for one in revisions]


def _has_content() -> Q:
    words = StoredContent.objects.filter(decision=OuterRef("pk"))
    pictures = StoredPicture.objects.filter(decision=OuterRef("pk"))
    return Q(Exists(words)) | Q(Exists(pictures))


def _remove(
    decided: QuerySet[Decision], now: datetime, terms: ReviewTerms, remove: Callable[[Sequence[UUID]], None]
) -> int:
    removable, removed = decided.filter(~needed_decisions(now, terms)), 0
    rest = removable.order_by("received_at")
    while rows := list(rest.values_list("pk", "received_at")[:_READ_AT_ONCE]):
        ids = [pk for pk, _ in rows]
        # The next look begins where this one ended, or it would pass everything that is done again.
        rest = rest.filter(received_at__gte=rows[-1][1])
        for start in range(0, len(ids), _AT_ONCE):
            with transaction.atomic():
                # Whoever opens a case, reports or appeals waits for this lock, or was seen by the second look.
                batch = Decision.objects.select_for_update(of=("self",)).filter(
                    pk__in=ids[start : start + _AT_ONCE]
                )
                locked = list(batch.order_by("pk").values_list("pk", flat=True))
                unneeded = list(removable.filter(pk__in=locked).values_list("pk", flat=True))
                remove(unneeded)
            removed += len(unneeded)
    return removed


def _remove_contents(ids: Sequence[UUID]) -> None:
    scrub_texts(ids)
    StoredPicture.objects.filter(decision__in=ids).delete()
    StoredContent.objects.filter(decision__in=ids).delete()


def _remove_decisions(ids: Sequence[UUID]) -> None:
    scrub_texts(ids)
    cases = set(CaseItem.objects.filter(decision__in=ids).values_list("case_id", flat=True))
    Decision.objects.filter(pk__in=ids).delete()
    scrub_cases(cases)
