"""Which rows an erasure is about."""

from collections.abc import Sequence
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from moderation.cases.models import Case, CaseItem
from moderation.deciding.models import Decision
from moderation.privacy.models import Erasure, ErasureKind
from moderation.reports.models import Report
from moderation.review.models import AccountProposal, FinalDecision, Strike
from registry.record.models import AuditRecord


def decisions_of(erasure: Erasure) -> QuerySet[Decision]:
    """The decisions that were received before the erasure was requested, on legal hold or not."""
    rows = Decision.objects.filter(tenant=erasure.tenant_id, received_at__lte=erasure.made_at)
    if erasure.kind == ErasureKind.AUTHOR:
        return rows.filter(author_id=erasure.subject)
    if erasure.kind == ErasureKind.CONTENT:
        return rows.filter(content_id=erasure.subject)
    return rows.filter(pk__in=_same_request(UUID(hex=erasure.subject)))


def _same_request(request_id: UUID) -> set[UUID]:
    """The decision, and those of the same content that it replaced or that replaced it: detectors had failed."""
    known: set[UUID] = set()
    new = {request_id}
    while new:
        known |= new
        links = Decision.objects.filter(Q(pk__in=new) | Q(redecides__in=new)).values_list("pk", "redecides")
        new = {pk for pair in links for pk in pair if pk is not None} - known
    return known


def is_on_hold() -> Q:
    """Whether a decision's content is in a case on legal hold."""
    return Q(Exists(CaseItem.objects.filter(decision=OuterRef("pk"), case__is_on_legal_hold=True)))


def holding_cases(kept: QuerySet[Decision]) -> list[int]:
    """The cases that keep these contents."""
    held = Case.objects.filter(is_on_legal_hold=True, items__decision__in=kept.order_by().values("pk"))
    return sorted(set(held.order_by().values_list("pk", flat=True)))


def finals_left(erasure: Erasure) -> QuerySet[FinalDecision]:
    """What stands, or stood, about contents whose decisions are gone."""
    rows = FinalDecision.objects.filter(tenant=erasure.tenant_id, made_at__lte=erasure.made_at)
    rows = rows.exclude(pk__in=_finals_on_hold())
    if erasure.kind == ErasureKind.AUTHOR:
        return rows.filter(author_id=erasure.subject)
    return rows.filter(content_key=erasure.subject)


def strikes_left(erasure: Erasure) -> QuerySet[Strike]:
    if erasure.kind != ErasureKind.AUTHOR:
        return Strike.objects.none()
    rows = Strike.objects.filter(tenant=erasure.tenant_id, author_id=erasure.subject)
    return rows.exclude(final__in=_finals_on_hold())


def proposals_left(erasure: Erasure) -> QuerySet[AccountProposal]:
    if erasure.kind != ErasureKind.AUTHOR:
        return AccountProposal.objects.none()
    return AccountProposal.objects.filter(tenant=erasure.tenant_id, author_id=erasure.subject)


def reports_by(erasure: Erasure) -> QuerySet[Report]:
    """Reports that the author made about others."""
    if erasure.kind != ErasureKind.AUTHOR:
        return Report.objects.none()
    rows = Report.objects.filter(tenant=erasure.tenant_id, reporter_id=erasure.subject)
    return rows.exclude(case__is_on_legal_hold=True)


def rows_left(
    erasure: Erasure,
) -> Sequence[QuerySet[FinalDecision] | QuerySet[Strike] | QuerySet[AccountProposal] | QuerySet[Report]]:
    """Everything that says the id beside decisions."""
    return (finals_left(erasure), strikes_left(erasure), proposals_left(erasure), reports_by(erasure))


def _finals_on_hold() -> QuerySet[FinalDecision]:
    held = CaseItem.objects.filter(case__is_on_legal_hold=True)
    return FinalDecision.objects.filter(decision__in=held.values("decision")).order_by()


def was_erased(erasure: Erasure, digest: bytes) -> bool:
    """Whether the audit chain says that the erasure removed the content with this digest."""
    salted = erasure.salted(digest)
    records = AuditRecord.objects.filter(
        object_id=str(erasure.pk), object_kind="erasure", after_json__contains=f'"{salted}"'
    )
    return records.exists()
