"""Strikes against authors, and the account actions that they add up to, which people decide."""

from datetime import timedelta

from django.db import transaction
from django.db.models import QuerySet, Sum
from django.utils import timezone

from moderation.policies.models import MAX_ACTOR
from moderation.policies.rules import Ruling
from moderation.review.models import ACCOUNT_EFFECTS, AccountProposal, FinalDecision, ReviewAction, Strike
from moderation.review.transitions import ProposalStatus
from moderation.rights import ModerationRight
from registry.errors import Conflict, StaleState
from registry.kit.actors import Actor
from registry.kit.text import MAX_REASON, checked_line, storable
from registry.record.audit import AuditSubject, record_change
from registry.record.events import emit
from registry.record.models import Subscription


def add_strike(final: FinalDecision, action: ReviewAction) -> None:
    """Count a restriction against its author, as the action says; propose the account action that strikes add up to."""
    if not action.strike_weight or not final.author_id or final.ruling == Ruling.ALLOW:
        return
    Strike.objects.create(
        tenant_id=final.tenant_id,
        author_id=final.author_id,
        final=final,
        weight=action.strike_weight,
        expires_at=timezone.now() + timedelta(days=action.strike_days),
    )
    _propose(final)


def remove_strikes(final: FinalDecision) -> None:
    """What a strike was for has been replaced."""
    Strike.objects.filter(final=final, removed_at=None).update(removed_at=timezone.now())


@transaction.atomic
def remove_strike(*, strike: Strike, reason: str, by: Actor) -> Strike:
    """Take a strike back although what it is for still stands."""
    by.check(ModerationRight.LEAD)
    reason = checked_line(reason, what="reason", longest=MAX_REASON)
    if not Strike.objects.filter(pk=strike.pk, removed_at=None).update(removed_at=timezone.now()):
        raise StaleState("This strike was removed already.")
    strike.refresh_from_db()
    record_change(
        action="remove_strike",
        subject=strike,
        before={"weight": strike.weight},
        after={"weight": 0},
        reason=reason,
        by=by,
    )
    return strike


def _propose(final: FinalDecision) -> None:
    """Propose the account action that the author's strikes add up to, once."""
    weight = weight_of_strikes(final.tenant_id, final.author_id)
    reached = ReviewAction.objects.filter(
        effect__in=ACCOUNT_EFFECTS, is_retired=False, proposed_at__isnull=False, proposed_at__lte=weight
    )
    action = reached.order_by("-proposed_at").first()
    of_author = AccountProposal.objects.filter(tenant=final.tenant_id, author_id=final.author_id)
    if action is None or of_author.filter(action=action, status=ProposalStatus.OPEN).exists():
        return
    AccountProposal.objects.create(
        tenant_id=final.tenant_id, author_id=final.author_id, action=action, weight=weight
    )


def active_strikes(tenant_id: int | None, author_id: str) -> QuerySet[Strike]:
    return Strike.objects.filter(
        tenant=tenant_id, author_id=author_id, removed_at=None, expires_at__gt=timezone.now()
    )


def weight_of_strikes(tenant_id: int | None, author_id: str) -> float:
    return float(active_strikes(tenant_id, author_id).aggregate(weight=Sum("weight"))["weight"] or 0.0)


@transaction.atomic
def decide_proposal(
    *, proposal: AccountProposal, is_accepted: bool, reason: str, by: Actor
) -> AccountProposal:
    """Take a proposed account action, or dismiss it. Subscribers are told of those that are taken.

    Raises Conflict if the author's strikes do not add up to it any more.
    """
    by.check(ModerationRight.LEAD)
    reason = checked_line(reason, what="reason", longest=MAX_REASON)
    weight = weight_of_strikes(proposal.tenant_id, proposal.author_id)
    if is_accepted and weight < (proposal.action.proposed_at or 0.0):
        raise Conflict(
            f"Since this was proposed, strikes have expired or were reversed: {weight:g} are left of"
            f" {proposal.action.proposed_at:g}. Dismiss it."
        )
    status = ProposalStatus.ACCEPTED if is_accepted else ProposalStatus.DISMISSED
    open_one = AccountProposal.objects.filter(pk=proposal.pk, status=ProposalStatus.OPEN)
    if not open_one.update(
        status=status, decided_by=storable(by.name, MAX_ACTOR), decided_at=timezone.now(), reason=reason
    ):
        raise StaleState("Another person decided this proposal first.")
    proposal.refresh_from_db()
    if is_accepted:
        emit(
            "account.action",
            subject=proposal,
            data={
                "tenant": proposal.tenant.slug if proposal.tenant else None,
                "author_id": proposal.author_id,
                "action": proposal.action.name,
                "effect": proposal.action.effect,
                "strikes": proposal.weight,
                "reason": reason,
            },
            summary=f"{proposal.action} for author {proposal.author_id}: {reason}",
            order_key=f"author:{proposal.tenant_id or ''}:{proposal.author_id}",
            also_to=_callbacks(proposal.action),
        )
    # Not by the proposal's own name, which says who the author is: what is in the chain can never be erased.
    record_change(
        action="decide_account_proposal",
        subject=AuditSubject("accountproposal", str(proposal.pk), f"account proposal {proposal.pk}"),
        before=None,
        after={"status": status.value, "action": proposal.action.name},
        reason=reason,
        by=by,
    )
    return proposal


def _callbacks(action: ReviewAction) -> list[Subscription]:
    return [action.subscription] if action.subscription is not None else []
