"""Splits are written once and made current by a conditional update, in the transaction that moves `champion`."""

from collections.abc import Mapping
from contextlib import suppress
from string import ascii_lowercase
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F

from registry.access.policies import Right
from registry.catalogue.models import CHAMPION, Model, Version, new_salt
from registry.catalogue.route_changes import Stamp, lock_model, stamp
from registry.catalogue.services.aliases import follow_split
from registry.catalogue.validation import checked_reason
from registry.errors import (
    ApprovalNeeded,
    Conflict,
    Invalid,
    ModelFrozen,
    StaleState,
    VersionNotReady,
)
from registry.kit.actors import Actor
from registry.kit.loops import Attempts
from registry.kit.text import MAX_REASON
from registry.record.audit import record_change
from registry.record.events import emit
from registry.traffic import policies
from registry.traffic.assignment import WHOLE, reallot
from registry.traffic.gates import check_gates, plan_for
from registry.traffic.models import MAX_ARMS, Arm, Hold, Split, SplitRequest
from registry.traffic.readiness import ReadinessState, readiness_of
from registry.traffic.selectors import current_split, open_hold, overdue_splits
from registry.traffic.transitions import ALLOWED, RequestStatus, Status

Shares = Mapping[Version, int]  # basis points


@transaction.atomic
def set_split(
    *,
    model: Model,
    arms: Shares,
    shadows: Shares | None = None,
    reason: str,
    expected_revision: int | None = None,
    by: Actor,
) -> Split:
    """Write the Model's next split; it becomes current as soon as it is ready.

    1. `arms` are basis points that sum to 10,000; `shadows` are the shares of traffic mirrored to each version.
    2. `expected_revision` is the number of the newest split the caller has seen, 0 if there was none.
    3. A waiting split expires, and open requests are overtaken: both were based on the previous split.
    4. If the Model needs approvals, no version may gain live share here; see `approvals`.
    """
    policies.check_may_set(by, model.pk, gains=False)
    why = checked_reason(reason)
    check_shares(model, arms, shadows or {})
    present = lock_model(model)
    check_expected(present, expected_revision)
    check_ready(present, [*arms, *(shadows or {})])
    plan = plan_for(present, arms)
    if plan.gains:
        policies.check_may_set(by, model.pk, gains=True)
        check_frozen(present)
        if present.needs_approval:
            raise ApprovalNeeded(
                f"{present.slug} needs a second person's approval: request this split, and have someone else approve it."
            )
        check_gates(plan)
    return write_split(present, arms, shadows or {}, why, action="set_split", by=by)


@transaction.atomic
def reshuffle(*, model: Model, reason: str, by: Actor) -> Split | None:
    """Replace the salt: every routing key gets a new random bucket. The shares stay the same."""
    by.check(Right.SET_SPLIT, model_id=model.pk)
    why = checked_reason(reason)
    present = lock_model(model)
    check_frozen(present)
    before = present.salt
    present.salt = new_salt()
    Model.objects.filter(pk=present.pk).update(salt=present.salt)
    current = current_split(present)
    if current is None:
        stamp(present)
        record_change(
            action="reshuffle", subject=present, before={"salt": before}, after={"salt": present.salt},
            reason=why, by=by,
        )  # fmt: skip
        return None
    arms = list(current.arms.select_related("version"))
    shares = current.shares()
    answering = {arm.version: shares[arm.version_id] for arm in arms if arm.letter}
    shadows = {arm.version: arm.mirrored for arm in arms if arm.mirrored is not None}
    return write_split(present, answering, shadows, why, action="reshuffle", by=by)


@transaction.atomic
def settle_split(*, split: Split, by: Actor) -> Split:
    """Make a waiting split current if it is ready, expire it if it never will be, else leave it waiting."""
    by.check(Right.SET_SPLIT, model_id=split.model_id)
    present = lock_model(split.model)
    waiting = _reload(split)
    if waiting.status != Status.WAITING:
        raise StaleState(f"{waiting} is already {waiting.status}.")
    readiness = readiness_of(waiting)
    if readiness.state is ReadinessState.NEVER:
        return expire_split(split=waiting, reason=readiness.sentence or "It cannot be made ready.", by=by)
    if readiness.state is ReadinessState.READY and not _is_held_by_freeze(present, waiting):
        before = _audit_fields(current_split(present))
        _make_current(waiting, stamp(present), by)
        return _record(waiting, before, waiting.reason, "activate_split", by)
    return waiting


def settle_waiting_splits(*, by: Actor) -> None:
    """Settle every waiting split that can be settled; expire those that have waited too long."""
    overdue = {split.pk for split in overdue_splits()}
    with Attempts() as attempt:
        for split in Split.objects.filter(status=Status.WAITING).select_related("model"):
            attempt(_settle_or_expire, split, split.pk in overdue, by)


def _settle_or_expire(split: Split, is_overdue: bool, by: Actor) -> None:
    readiness = readiness_of(split)
    with suppress(StaleState):  # another process did it at the same moment
        if readiness.state is not ReadinessState.WAIT and not _is_held_by_freeze(split.model, split):
            settle_split(split=split, by=by)
        elif is_overdue:
            reason = f"It waited longer than the limit of {settings.WARM_LIMIT_S} s. {readiness.sentence}"
            expire_split(split=split, reason=reason[:MAX_REASON].strip(), by=by)


@transaction.atomic
def expire_split(*, split: Split, reason: str, by: Actor) -> Split:
    """Give up on a waiting split; the current one stays live."""
    by.check(Right.LOWER, model_id=split.model_id)
    why = checked_reason(reason)
    present = lock_model(split.model)
    _move(split, Status.EXPIRED, to_at=stamp(present).at)
    expired = _reload(split)
    record_change(
        action="expire_split", subject=expired, before={"status": Status.WAITING},
        after={"status": Status.EXPIRED}, reason=why, by=by,
    )  # fmt: skip
    emit(
        "split_expired",
        subject=expired,
        data={"model": expired.model.slug, "split": expired.number, "reason": why, "by": by.name},
        summary=f"{expired} expired; the current split stays live. {why}"[:500],
    )
    return expired


def write_split(
    present: Model,
    arms: Shares,
    shadows: Shares,
    reason: str,
    *,
    action: str,
    by: Actor,
    request: SplitRequest | None = None,
    goes_back: bool = False,
) -> Split:
    """Write a split. The caller has already locked the Model and checked everything.

    `request` is the approved request, if any; a rollback (`goes_back`) ignores freezes.
    """
    number = _take_number(present)
    change = stamp(present)
    _overtake(present, number, change, granted=request)
    current = current_split(present)
    before = _audit_fields(current)
    split = _insert(present, number, current, arms, shadows, reason, by, goes_back=goes_back)
    if readiness_of(split).state is ReadinessState.READY:
        _make_current(split, change, by)
    return _record(split, before, reason, action, by)


def _overtake(present: Model, number: int, change: Stamp, *, granted: SplitRequest | None) -> None:
    """Expire the waiting split and close other open requests: they were based on the previous split."""
    present.splits.filter(status=Status.WAITING).update(status=Status.EXPIRED, to_at=change.at)
    others = present.split_requests.filter(status=RequestStatus.OPEN)
    if granted is not None:
        others = others.exclude(pk=granted.pk)
    others.update(
        status=RequestStatus.OVERTAKEN,
        decided_at=change.at,
        decision=f"Split {number} came first; request it again if it is still needed.",
    )


def _take_number(present: Model) -> int:
    """The conditional update lets only one of several callers win, even if the database cannot lock rows."""
    taken = Model.objects.filter(pk=present.pk, split_revision=present.split_revision).update(
        split_revision=F("split_revision") + 1
    )
    if not taken:
        raise StaleState(f"The split of {present.slug} was changed at the same moment; reload and try again.")
    return present.split_revision + 1


def _insert(
    present: Model,
    number: int,
    current: Split | None,
    arms: Shares,
    shadows: Shares,
    reason: str,
    by: Actor,
    *,
    goes_back: bool,
) -> Split:
    ordered = dict(sorted(arms.items(), key=lambda item: item[0].number))
    letters = {version.pk: letter for version, letter in zip(ordered, ascii_lowercase, strict=False)}
    shares = {version.pk: share for version, share in ordered.items()}
    owners = reallot(current.owners() if current is not None else [], shares)
    split = Split.objects.create(
        model=present,
        number=number,
        buckets="".join(letters[owner] for owner in owners),
        salt=present.salt,
        reason=reason,
        created_by_id=by.user_id,
        made_by=by.name[:200],
        goes_back=goes_back,
    )
    lines = [Arm(split=split, version=version, letter=letters[version.pk]) for version in ordered]
    lines += [Arm(split=split, version=version, mirrored=share) for version, share in shadows.items()]
    Arm.objects.bulk_create(lines)
    return split


def _make_current(split: Split, change: Stamp, by: Actor) -> None:
    for current in split.model.splits.filter(status=Status.CURRENT):
        _move(current, Status.PAST, to_at=change.at)
    _move(split, Status.CURRENT, from_at=change.at)
    reason = f"split {split.number}: {split.reason}"[:500]
    follow_split(model=split.model, version=_leading(split), at=change, reason=reason, by=by)


def _leading(split: Split) -> Version:
    """The version with the largest share; in a tie, the current champion, else the oldest."""
    shares = split.shares()
    champion = _champion_id(split.model)
    arms = [arm for arm in split.arms.select_related("version") if arm.letter]
    return max(
        arms, key=lambda arm: (shares[arm.version_id], arm.version_id == champion, -arm.version.number)
    ).version


def _move(split: Split, to: Status, **columns: Any) -> None:
    old = Status(split.status)
    if to not in ALLOWED[old]:
        raise Conflict(f"{split} is {old}; it cannot become {to}.")
    if not Split.objects.filter(pk=split.pk, status=old).update(status=to, **columns):
        raise StaleState(f"{split} is no longer {old}: someone else changed it first. Reload and try again.")


def _record(split: Split, before: dict[str, Any] | None, reason: str, action: str, by: Actor) -> Split:
    """Write the audit record, and emit an event if the split is current."""
    written = _reload(split)
    after = _audit_fields(written) or {}
    record_change(action=action, subject=written, before=before, after=after, reason=reason, by=by)
    if written.status == Status.CURRENT:
        shares = ", ".join(f"version {number} {share / 100:g} %" for number, share in after["arms"].items())
        is_stopped = open_hold(written.model, Hold.Kind.STOPPED) is not None
        answers = "is stopped; once it is started, it will answer" if is_stopped else "now answers"
        emit(
            "split_changed",
            subject=written,
            data={
                "model": written.model.slug,
                "before": before,
                "after": after,
                "reason": reason,
                "by": by.name,
            },
            summary=f"{written.model.slug} {answers} with {shares}.",
        )
    return written


def _audit_fields(split: Split | None) -> dict[str, Any] | None:
    if split is None:
        return None
    shares = split.shares()
    arms = list(split.arms.select_related("version"))
    return {
        "split": split.number,
        "status": split.status,
        "arms": {str(arm.version.number): shares[arm.version_id] for arm in arms if arm.letter},
        "shadows": {str(arm.version.number): arm.mirrored for arm in arms if not arm.letter},
        "salt": split.salt,
    }


def check_shares(model: Model, arms: Shares, shadows: Shares) -> None:
    if sum(arms.values()) != WHOLE:
        total = sum(arms.values())
        raise Invalid(
            f"The shares of {model.slug} add up to {total / 100:g} % ({total:,} basis points);"
            f" they must add up to 100 % ({WHOLE:,})."
        )
    if any(not 1 <= share <= WHOLE for share in [*arms.values(), *shadows.values()]):
        raise Invalid(
            f"A share is 0.01 to 100 % (1 to {WHOLE:,} basis points); leave out versions that get nothing."
        )
    if len(arms) > MAX_ARMS or len(shadows) > MAX_ARMS:
        raise Invalid(f"A split can have at most {MAX_ARMS} arms and {MAX_ARMS} shadows.")
    if both := arms.keys() & shadows.keys():
        raise Invalid(f"{', '.join(str(version) for version in both)} cannot be both an arm and a shadow.")


def check_ready(model: Model, versions: list[Version]) -> None:
    by_id = Version.objects.select_related("model").in_bulk([version.pk for version in versions])
    for version in versions:
        present = by_id.get(version.pk)
        if present is None or present.model_id != model.pk:
            raise Invalid(f"A split of {model.slug} can only contain versions of {model.slug}.")
        if not present.is_servable:
            raise VersionNotReady(
                f"{present} is {present.status}; only a ready version can be put in a split."
            )
        check_not_broken(present)


def check_not_broken(version: Version) -> None:
    if version.is_broken:
        raise VersionNotReady(
            f"{version} is broken: it crashed the processes running it. A person can review its crashes and clear them."
        )


def check_frozen(model: Model) -> None:
    hold = open_hold(model, Hold.Kind.FROZEN)
    if hold is not None:
        raise ModelFrozen(
            f"{model.slug} is frozen ({hold.text}), so nothing may gain live share. Unfreeze it first; "
            "lowering, stopping and rolling back still work."
        )


def _is_held_by_freeze(model: Model, split: Split) -> bool:
    if split.goes_back or open_hold(model, Hold.Kind.FROZEN) is None:
        return False
    current = current_split(model)
    before = current.shares() if current is not None else {}
    return policies.gains_share(before, split.shares(), leader=_champion_id(model))


def check_expected(model: Model, expected_revision: int | None) -> None:
    if expected_revision is not None and expected_revision != model.split_revision:
        raise StaleState(
            f"The newest split of {model.slug} is number {model.split_revision}, not {expected_revision}: "
            "someone else changed it first. Reload and try again."
        )


def _champion_id(model: Model) -> int | None:
    return model.aliases.filter(name=CHAMPION).values_list("version_id", flat=True).first()


def _reload(split: Split) -> Split:
    return Split.objects.select_related("model").get(pk=split.pk)
