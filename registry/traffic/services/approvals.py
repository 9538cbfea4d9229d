"""Approvals: one person asks for a split, another agrees, and it is written in the same moment."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from registry.access.models import ApiKey
from registry.access.policies import Right
from registry.catalogue.models import Model
from registry.catalogue.route_changes import lock_model, stamp
from registry.catalogue.validation import checked_reason
from registry.errors import Conflict, Invalid, NotAllowed, StaleState
from registry.kit.actors import Actor
from registry.record.audit import record_change
from registry.record.events import emit
from registry.record.kinds import register_kind
from registry.traffic.gates import check_gates
from registry.traffic.models import Split, SplitRequest
from registry.traffic.request_transitions import ALLOWED, Status
from registry.traffic.selectors import asked_shares, told_shares
from registry.traffic.services.splits import (
    Shares,
    check_expected,
    check_frozen,
    check_ready,
    check_shares,
    plan_for,
    set_split,
    write_split,
)
from registry.traffic.transitions import Status as SplitStatus

register_kind("approval_asked", "Somebody asks for a split that another person has to approve.")
register_kind("approval_decided", "A request for a split was approved, rejected or withdrawn.")

MAX_OPEN = 20


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
    """Ask for a split that gives a version live share. It waits until somebody else decides."""
    by.check(Right.REQUEST_CHANGE, model_id=model.pk)
    why = checked_reason(comment)
    check_shares(model, arms, shadows or {})
    present = lock_model(model)
    check_expected(present, expected_revision)
    check_ready(present, [*arms, *(shadows or {})])
    if not plan_for(present, arms).gains:
        raise Invalid("With this split no version gains live share, so it waits for nobody: set it.")
    if present.split_requests.filter(status=Status.OPEN).count() >= MAX_OPEN:
        raise Conflict(
            f"{present.slug} has {MAX_OPEN} open requests; have some of them decided or withdrawn."
        )
    request = SplitRequest.objects.create(
        model=present,
        arms={str(version.number): share for version, share in arms.items()},
        shadows={str(version.number): share for version, share in (shadows or {}).items()},
        seen_revision=present.split_revision,
        comment=why,
        asked_by=by.name[:200],
        asker_id=_person_behind(by),
    )
    record_change(
        action="ask_for_split", subject=request, before=None, after=_told(request), reason=why, by=by
    )
    _emit("approval_asked", request, f"{by.name} asks for {told_shares(request)} of {present.slug}: {why}")
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
    """Set the split where that waits for nobody; else ask for it."""
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
    """Agree: the gates are looked at once more, and the split is written, both in one moment.

    Only a person can, and not the one who asked: whoever issued the key that asked counts as having asked.
    """
    by.check(Right.APPROVE, model_id=request.model_id)
    _check_other_person(request, by)
    why = checked_reason(reason)
    present = lock_model(request.model)
    asked = _still_open(request)
    check_expected(present, asked.seen_revision)
    arms, shadows = asked_shares(asked)
    check_ready(present, [*arms, *shadows])
    check_frozen(present)
    gates = check_gates(plan_for(present, arms))
    split = write_split(present, arms, shadows, asked.comment, action="approve_request", by=by, request=asked)
    decided = _decide(asked, Status.APPROVED, why, by, split=split, gates=[gate.told() for gate in gates])
    _emit("approval_decided", decided, f"{by.name} approved {told_shares(decided)} of {present.slug}: {why}")
    return split


@transaction.atomic
def reject_request(*, request: SplitRequest, reason: str, by: Actor) -> SplitRequest:
    """Say no, and why."""
    by.check(Right.APPROVE, model_id=request.model_id)
    _check_other_person(request, by)
    return _end(request, Status.REJECTED, reason, by)


@transaction.atomic
def withdraw_request(*, request: SplitRequest, reason: str, by: Actor) -> SplitRequest:
    """Take a request back. Whoever may ask for this Model may do it, also for a colleague who went home."""
    by.check(Right.REQUEST_CHANGE, model_id=request.model_id)
    return _end(request, Status.WITHDRAWN, reason, by)


@transaction.atomic
def set_approval_rule(*, model: Model, needed: bool, reason: str, by: Actor) -> Model:
    """Say whether giving a version of this Model live share takes two people."""
    by.check(Right.MANAGE_SETTINGS, model_id=model.pk)
    why = checked_reason(reason)
    present = lock_model(model)
    if present.needs_approval == needed:
        raise StaleState(f"{present.slug} asks for {'two people' if needed else 'one person'} already.")
    waiting = present.splits.filter(status=SplitStatus.WAITING, goes_back=False, request=None).first()
    if needed and waiting is not None:
        raise Conflict(
            f"{waiting} waits to become current and nobody approved it; wait for it, or give it up."
        )
    Model.objects.filter(pk=present.pk).update(needs_approval=needed)
    stamp(present)
    record_change(
        action="set_approval_rule", subject=present, before={"needs_approval": not needed},
        after={"needs_approval": needed}, reason=why, by=by,
    )  # fmt: skip
    return Model.objects.get(pk=present.pk)


def _person_behind(by: Actor) -> int | None:
    """The person who acts, or who issued the key that does; None for commands and tasks."""
    if by.key_id is None:
        return by.user_id
    return ApiKey.objects.filter(pk=by.key_id).values_list("created_by_id", flat=True).first()


def _check_other_person(request: SplitRequest, by: Actor) -> None:
    if by.user_id is None:
        raise NotAllowed("Only a person can decide about a request; log in.")
    if request.asker_id == by.user_id:
        raise NotAllowed(
            f"{request.asked_by} asked for this, and that is you or a key that you issued; somebody else has to decide."
        )


def _still_open(request: SplitRequest) -> SplitRequest:
    present = SplitRequest.objects.select_related("model").get(pk=request.pk)
    if present.status != Status.OPEN:
        raise StaleState(f"{present} is {present.status} already.")
    return present


def _end(request: SplitRequest, to: Status, reason: str, by: Actor) -> SplitRequest:
    why = checked_reason(reason)
    lock_model(request.model)
    decided = _decide(_still_open(request), to, why, by)
    _emit("approval_decided", decided, f"{by.name}: {decided} is {to}. {why}")
    return decided


def _decide(request: SplitRequest, to: Status, reason: str, by: Actor, **columns: Any) -> SplitRequest:
    old = Status(request.status)
    if to not in ALLOWED[old]:
        raise Conflict(f"{request} is {old}; from there it cannot become {to}.")
    decided = {"decided_by": by.name[:200], "decider_id": by.user_id, "decided_at": timezone.now()}
    if not SplitRequest.objects.filter(pk=request.pk, status=old).update(
        status=to, decision=reason, **decided, **columns
    ):
        raise StaleState(f"{request} is no longer {old}; somebody else decided first. Look again.")
    written = SplitRequest.objects.select_related("model", "split").get(pk=request.pk)
    record_change(
        action=f"{_VERBS[to]}_request", subject=written, before=_told(request), after=_told(written),
        reason=reason, by=by,
    )  # fmt: skip
    return written


def _told(request: SplitRequest) -> dict[str, Any]:
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
        **_told(request),
    }
    emit(kind, subject=request, data=data, summary=summary[:500])


_VERBS = {Status.APPROVED: "approve", Status.REJECTED: "reject", Status.WITHDRAWN: "withdraw"}
