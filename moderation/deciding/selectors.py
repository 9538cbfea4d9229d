"""Reads about decisions."""

from datetime import datetime
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from moderation.deciding.models import Decision
from moderation.errors import UnknownDecision


def decisions() -> QuerySet[Decision]:
    return Decision.objects.select_related("policy", "revision", "content", "tenant").defer(
        "revision__content"
    )


def decisions_of_tenant(tenant_id: int) -> QuerySet[Decision]:
    """What a key may see: its tenant's decisions."""
    return decisions().filter(tenant_id=tenant_id)


def decision_by_request_id(within: QuerySet[Decision], request_id: str) -> Decision:
    """Raises UnknownDecision, also for ids that are none."""
    try:
        decision = within.filter(pk=UUID(hex=request_id)).first()
    except ValueError:
        decision = None
    if decision is None:
        raise UnknownDecision(
            f"There is no decision {request_id[:64]!r}. An allowed content's can be read a second after the answer;"
            " contents sent with `do_not_store` have none."
        )
    return decision


def newer_decisions(of: str = "") -> Exists:
    """Whether a newer content of the same id was decided, or the same content again."""
    newer = Decision.objects.filter(
        Q(received_at__gt=OuterRef(f"{of}received_at"))
        | Q(received_at=OuterRef(f"{of}received_at"), decided_at__gt=OuterRef(f"{of}decided_at")),
        tenant=OuterRef(f"{of}tenant"),
        content_id=OuterRef(f"{of}content_id"),
    ).exclude(content_id="")
    return Exists(newer)


def held_decisions(*, due_only: bool = True) -> QuerySet[Decision]:
    """Decisions that wait for a detector, the next one to be tried first."""
    held = Decision.objects.filter(is_held=True)
    if due_only:
        held = held.filter(next_try_at__lte=Now())
    return held.order_by("next_try_at")


def expired_decisions(before: datetime) -> QuerySet[Decision]:
    return Decision.objects.filter(received_at__lt=before)
