"""Approvals: one person requests a split; when another approves it, the split is written in the same transaction."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from registry.access.keys import person_behind
from registry.access.policies import Right
from registry.catalogue.models import Model
from registry.catalogue.route_changes import lock_model, stamp
from registry.catalogue.validation import checked_reason
from registry.errors import Conflict, Invalid, NotAllowed, StaleState
from registry.kit.actors import Actor
from registry.record.audit import record_change
from registry.record.events import emit
from registry.traffic.gates import check_gates, plan_for
from registry.traffic.models import Split, SplitRequest
from registry.traffic.selectors import describe_shares, requested_shares
from registry.traffic.services.splits import (
    Shares,
    check_expected,
    check_frozen,
    check_ready,
    check_shares,
    set_split,
    write_split,
)
from registry.traffic.transitions import REQUEST_ALLOWED, RequestStatus, Status

MAX_OPEN = 20
_ACTIONS = {
    RequestStatus.APPROVED: "approve_request",
    RequestStatus.REJECTED: "reject_request",
    RequestStatus.WITHDRAWN: "withdraw_request",
}


@transaction.atomic
def ask_for_split(
    *,
    model: Model,
    arms: Shares,
    shadows: Shares | None = None,
    comment: str,
    expected_revision: int | None = None,
    by: Actor,
) -> SplitRequest:
    """Request a split that gives a version live share. It waits for another person's decision."""
    by.check(Right.REQUEST_CHANGE, model_id=model.pk)
    why = checked_reason(comment)
    check_shares(model, arms, shadows or {})
    present = lock_model(model)
    check_expected(present, expected_revision)
    check_ready(present, [*arms, *(shadows or {})])
    if not plan_for(present, arms).gains:
        raise Invalid(
            "No version gains live share with this split, so it needs no approval; set it directly."
        )
    if present.split_requests.filter(status=RequestStatus.OPEN).count() >= MAX_OPEN:
        raise Conflict(
            f"{present.slug} already has {MAX_OPEN} open requests; decide or withdraw some of them first."
        )
    request = SplitRequest.objects.create(
        model=present,
        arms={str(version.number): share for version, share in arms.items()},
        shadows={str(version.number): share for version, share in (shadows or {}).items()},
        seen_revision=present.split_revision,
        comment=why,
        asked_by=by.name[:200],
        asker_id=person_behind(by),
    )
    record_change(
        action="ask_for_split", subject=request, before=None, after=_audit_fields(request), reason=why, by=by
    )
    _emit(
        "approval_asked", request, f"{by.name} requested {describe_shares(request)} for {present.slug}: {why}"
    )
    return request


@transaction.atomic
def set_or_ask(
    *,
    model: Model,
    arms: Shares,
    shadows: Shares | None = None,
    reason: str,
    expected_revision: int | None = None,
    by: Actor,
) -> Split | SplitRequest:
    """Set the split if it needs no approval; otherwise request it."""
    present = lock_model(model)
    check_shares(present, arms, shadows or {})
    if present.needs_approval and plan_for(present, arms).gains:
        return ask_for_split(
            model=present,
            arms=arms,
            shadows=shadows,
            comment=reason,
            expected_revision=expected_revision,
            by=by,
        )
    return set_split(
        model=present, arms=arms, shadows=shadows, reason=reason, expected_revision=expected_revision, by=by
    )


@transaction.atomic
def approve_request(*, request: SplitRequest, reason: str, by: Actor) -> Split:
    """Run the gates again and write the requested split.

    Only a person other than the requester can approve. The requester behind a key is the person who issued it.
    """
    by.check(Right.APPROVE, model_id=request.model_id)
    _check_other_person(request, by)
    why = checked_reason(reason)
    present = lock_model(request.model)
    open_request = _reload_open(request)
    check_expected(present, open_request.seen_revision)
    arms, shadows = requested_shares(open_request)
    check_ready(present, [*arms, *shadows])
    check_frozen(present)
    gates = check_gates(plan_for(present, arms))
    split = write_split(
        present, arms, shadows, open_request.comment, action="approve_request", by=by, request=open_request
    )
    results = [gate.to_json() for gate in gates]
    decided = _decide(open_request, RequestStatus.APPROVED, why, by, split=split, gates=results)
    _emit(
        "approval_decided",
        decided,
        f"{by.name} approved {describe_shares(decided)} for {present.slug}: {why}",
    )
    return split


@transaction.atomic
def reject_request(*, request: SplitRequest, reason: str, by: Actor) -> SplitRequest:
    """Reject a request, with a reason."""
    by.check(Right.APPROVE, model_id=request.model_id)
    _check_other_person(request, by)
    return _end(request, RequestStatus.REJECTED, reason, by)


@transaction.atomic
def withdraw_request(*, request: SplitRequest, reason: str, by: Actor) -> SplitRequest:
    """Withdraw your own request or a colleague's."""
    by.check(Right.REQUEST_CHANGE, model_id=request.model_id)
    return _end(request, RequestStatus.WITHDRAWN, reason, by)


@transaction.atomic
def set_approval_rule(*, model: Model, needed: bool, reason: str, by: Actor) -> Model:
    """Set whether giving a version of this Model live share needs a second person's approval."""
    by.check(Right.MANAGE_SETTINGS, model_id=model.pk)
    why = checked_reason(reason)
    present = lock_model(model)
    if present.needs_approval == needed:
        raise StaleState(f"{present.slug} {'already needs' if needed else 'does not need'} approval.")
    waiting = present.splits.filter(status=Status.WAITING, goes_back=False, request=None).first()
    if needed and waiting is not None:
        raise Conflict(
            f"{waiting} is waiting to become current without approval; wait until it is current, or expire it."
        )
    Model.objects.filter(pk=present.pk).update(needs_approval=needed)
    stamp(present)
    record_change(
        action="set_approval_rule", subject=present, before={"needs_approval": not needed},
        after={"needs_approval": needed}, reason=why, by=by,
    )  # fmt: skip
    return Model.objects.get(pk=present.pk)


def _check_other_person(request: SplitRequest, by: Actor) -> None:
    if by.user_id is None:
        raise NotAllowed("Only a person can decide on a request; log in.")
    if request.asker_id == by.user_id:
        raise NotAllowed(
            f"You requested this yourself or with a key you issued ({request.asked_by}); someone else has to decide."
        )


def _reload_open(request: SplitRequest) -> SplitRequest:
    present = SplitRequest.objects.select_related("model").get(pk=request.pk)
    if present.status != RequestStatus.OPEN:
        raise StaleState(f"{present} is already {present.status}.")
    return present


def _end(request: SplitRequest, to: RequestStatus, reason: str, by: Actor) -> SplitRequest:
    why = checked_reason(reason)
    lock_model(request.model)
    decided = _decide(_reload_open(request), to, why, by)
    _emit("approval_decided", decided, f"{decided} was {to} by {by.name}: {why}")
    return decided


def _decide(request: SplitRequest, to: RequestStatus, reason: str, by: Actor, **columns: Any) -> SplitRequest:
    old = RequestStatus(request.status)
    if to not in REQUEST_ALLOWED[old]:
        raise Conflict(f"{request} is {old}; it cannot become {to}.")
    decided = {"decided_by": by.name[:200], "decider_id": by.user_id, "decided_at": timezone.now()}
    if not SplitRequest.objects.filter(pk=request.pk, status=old).update(
        status=to, decision=reason, **decided, **columns
    ):
        raise StaleState(f"{request} is no longer {old}: someone else decided it first. Reload the page.")
    written = SplitRequest.objects.select_related("model", "split").get(pk=request.pk)
    record_change(
        action=_ACTIONS[to], subject=written, before=_audit_fields(request),
        after=_audit_fields(written), reason=reason, by=by,
    )  # fmt: skip
    return written


def _audit_fields(request: SplitRequest) -> dict[str, Any]:
    return {
        "status": request.status,
        "arms": request.arms,
        "shadows": request.shadows,
        "split": request.split.number if request.split is not None else None,
    }


def _emit(kind: str, request: SplitRequest, summary: str) -> None:
    data = {
        "model": request.model.slug,
        "request": request.pk,
        "comment": request.comment,
        "asked_by": request.asked_by,
        "decided_by": request.decided_by,
        "reason": request.decision,
        **_audit_fields(request),
    }
    emit(kind, subject=request, data=data, summary=summary[:500])
