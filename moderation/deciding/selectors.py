"""Reads about decisions."""

from contextlib import suppress
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from moderation.deciding.models import Decision
from moderation.errors import UnknownDecision
from registry.access.models import Tenant


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


def same_content(decision: Decision) -> QuerySet[Decision]:
    """All decisions about a content as long as it said the same, however often it was sent."""
    if not decision.content_id:
        return Decision.objects.filter(pk=decision.pk)
    same_id = Decision.objects.filter(tenant=decision.tenant_id, content_id=decision.content_id)
    return same_id.filter(digest=decision.digest)


def decision_that_counts(
    tenant_id: int | None, *, content_id: str = "", request_id: str = ""
) -> Decision | None:
    """The newest decision about a content of this id; or the one of this request, as it was decided again if it was held."""
    within = Decision.objects.filter(tenant=tenant_id).select_related("revision", "tenant", "content")
    if content_id:
        return within.filter(content_id=content_id).order_by("-received_at", "-decided_at").first()
    with suppress(ValueError):
        asked = Q(pk=UUID(hex=request_id)) | Q(redecides=UUID(hex=request_id))
        return within.filter(asked).order_by("-decided_at").first()
    return None


def decisions_matching(within: QuerySet[Decision], text: str) -> QuerySet[Decision]:
    """By an exact request id or content id, of any tenant. The index on content ids begins with tenants, so they are joined."""
    ids = Decision.objects.order_by().values("pk")
    about = ids.filter(content_id=text)
    found = [about.filter(tenant__in=Tenant.objects.order_by().values("pk")), about.filter(tenant=None)]
    with suppress(ValueError):
        found.append(ids.filter(pk=UUID(hex=text)))
    return within.filter(pk__in=found[0].union(*found[1:]))


def decisions_of_author(within: QuerySet[Decision], author_id: str) -> QuerySet[Decision]:
    """By an exact author id, of any tenant; by the same kind of index."""
    of_tenants = Q(tenant__in=Tenant.objects.order_by().values("pk")) | Q(tenant=None)
    return within.filter(of_tenants, author_id=author_id).exclude(author_id="")


def newer_decisions() -> Q:
    """Whether a newer content of the same id was decided, or the same content again."""
    newer = Decision.objects.filter(
        Q(received_at__gt=OuterRef("received_at"))
        | Q(received_at=OuterRef("received_at"), decided_at__gt=OuterRef("decided_at")),
        content_id=OuterRef("content_id"),
    ).exclude(content_id="")
    # Contents of people's jobs have no tenant, and to the database, nothing is not equal to nothing.
    of_nobody = Q(tenant=None) & Q(Exists(newer.filter(tenant=None)))
    return Q(Exists(newer.filter(tenant=OuterRef("tenant")))) | of_nobody


def held_decisions(*, due_only: bool = True) -> QuerySet[Decision]:
    """Decisions that wait for a detector, the next one to be tried first."""
    held = Decision.objects.filter(is_held=True, next_try_at__isnull=False)  # as the index says
    if due_only:
        held = held.filter(next_try_at__lte=Now())
    return held.order_by("next_try_at")
