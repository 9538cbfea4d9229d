"""Splits: written whole, made current by conditional update, in one transaction with `champion`."""

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
from registry.intake.examples.selectors import champion_of
from registry.kit.actors import Actor
from registry.kit.loops import Attempts
from registry.kit.text import MAX_REASON
from registry.record.audit import record_change
from registry.record.events import emit
from registry.record.kinds import register_kind
from registry.traffic import policies
from registry.traffic.assignment import WHOLE, reallot
from registry.traffic.gates import Plan, check_gates
from registry.traffic.models import MAX_ARMS, Arm, Hold, Split, SplitRequest
from registry.traffic.readiness import Verdict, readiness_of
from registry.traffic.request_transitions import Status as RequestStatus
from registry.traffic.selectors import overdue_splits
from registry.traffic.transitions import ALLOWED, Status

register_kind("split_expired", "A split that waited for engines to be warm was given up.")

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
    """Write the Model's next split, and make it current as soon as it is ready.

    1. `arms` are basis points that sum to 10,000; `shadows` say how much of the traffic each is shown.
    2. `expected_revision` is the number of the newest split that the caller has seen; 0 where there is none.
    3. A split that still waits is overtaken and expires; so are requests, which were about what was live before.
    4. Where the Model asks for two people, nothing may gain live share here; see `approvals`.
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
                f"{present.slug} asks for two people: ask for this split, and let somebody else approve it."
            )
        check_gates(plan)
    return write_split(present, arms, shadows or {}, why, action="set_split", by=by)


@transaction.atomic
def reshuffle(*, model: Model, reason: str, by: Actor) -> Split | None:
    """Renew the salt: every key is dealt a new bucket. The shares stay."""
    by.check(Right.SET_SPLIT, model_id=model.pk)
    why = checked_reason(reason)
    present = lock_model(model)
    check_frozen(present)
    before = present.salt
    present.salt = new_salt()
    Model.objects.filter(pk=present.pk).update(salt=present.salt)
    current = _current(present)
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
    shown = {arm.version: arm.mirrored for arm in arms if arm.mirrored is not None}
    return write_split(present, answering, shown, why, action="reshuffle", by=by)


@transaction.atomic
def settle_split(*, split: Split, by: Actor) -> Split:
    """Look again whether a waiting split is ready: make it current, let it expire, or leave it waiting."""
    by.check(Right.SET_SPLIT, model_id=split.model_id)
    present = lock_model(split.model)
    waiting = _reread(split)
    if waiting.status != Status.WAITING:
        raise StaleState(f"{waiting} is {waiting.status} already.")
    readiness = readiness_of(waiting)
    if readiness.verdict is Verdict.NEVER:
        return expire_split(split=waiting, reason=readiness.sentence or "It cannot be made ready.", by=by)
    if readiness.verdict is Verdict.READY and not _is_held_by_freeze(present, waiting):
        moment = stamp(present)
        before = _told(_current(present))
        _make_current(waiting, moment, by)
        return _tell(waiting, before, waiting.reason, "activate_split", by)
    return waiting


def settle_waiting_splits(*, by: Actor) -> None:
    """Settle every split that waits and need not any longer; give up those that have waited for too long."""
    overdue = {split.pk for split in overdue_splits()}
    with Attempts() as attempt:
        for split in Split.objects.filter(status=Status.WAITING).select_related("model"):
            attempt(_settle_or_expire, split, split.pk in overdue, by)


def _settle_or_expire(split: Split, is_overdue: bool, by: Actor) -> None:
    readiness = readiness_of(split)
    with suppress(StaleState):  # another process did it at the same moment
        if readiness.verdict is not Verdict.WAIT and not _is_held_by_freeze(split.model, split):
            settle_split(split=split, by=by)
        elif is_overdue:
            expire_split(split=split, reason=_gave_up(readiness.sentence), by=by)


def _gave_up(sentence: str) -> str:
    return f"It waited for {settings.WARM_LIMIT_S} s, the limit. {sentence}"[:MAX_REASON].strip()


@transaction.atomic
def expire_split(*, split: Split, reason: str, by: Actor) -> Split:
    """Give a waiting split up; what is current stays."""
    by.check(Right.LOWER, model_id=split.model_id)
    why = checked_reason(reason)
    present = lock_model(split.model)
    _move(split, Status.EXPIRED, to_at=stamp(present).at)
    expired = _reread(split)
    record_change(
        action="expire_split", subject=expired, before={"status": Status.WAITING},
        after={"status": Status.EXPIRED}, reason=why, by=by,
    )  # fmt: skip
    emit(
        "split_expired",
        subject=expired,
        data={"model": expired.model.slug, "split": expired.number, "reason": why, "by": by.name},
        summary=f"{expired} was given up; what was live stays. {why}"[:500],
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
    """The caller holds the Model and has checked everything; `request` is what is granted by this, and what
    `goes_back` to something that was live waits for no freeze."""
    number = _take_number(present)
    moment = stamp(present)
    _overtake(present, number, moment, request)
    current = _current(present)
    before = _told(current)
    split = _insert(present, number, current, arms, shadows, reason, by, goes_back=goes_back)
    readiness = readiness_of(split)
    if readiness.verdict is Verdict.READY:
        _make_current(split, moment, by)
    return _tell(split, before, reason, action, by)


def _overtake(present: Model, number: int, moment: Stamp, granted: SplitRequest | None) -> None:
    """Whatever waited or was asked for before this change was about another state of things."""
    present.splits.filter(status=Status.WAITING).update(status=Status.EXPIRED, to_at=moment.at)
    others = present.split_requests.filter(status=RequestStatus.OPEN)
    if granted is not None:
        others = others.exclude(pk=granted.pk)
    others.update(
        status=RequestStatus.OVERTAKEN,
        decided_at=moment.at,
        decision=f"Split {number} came first; ask again if it is still wanted.",
    )


def _take_number(present: Model) -> int:
    """The conditional update is what lets one of several win, even where rows cannot be locked."""
    taken = Model.objects.filter(pk=present.pk, split_revision=present.split_revision).update(
        split_revision=F("split_revision") + 1
    )
    if not taken:
        raise StaleState(f"The split of {present.slug} was changed at the same moment; look again.")
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


def _make_current(split: Split, moment: Stamp, by: Actor) -> None:
    for current in split.model.splits.filter(status=Status.CURRENT):
        _move(current, Status.PAST, to_at=moment.at)
    _move(split, Status.CURRENT, from_at=moment.at)
    follow_split(
        model=split.model, version=_leading(split), at=moment, reason=f"split {split.number}: {split.reason}"[:500],
        by=by,
    )  # fmt: skip


def _leading(split: Split) -> Version:
    """The version that `champion` names: the largest share; of equal ones that which has the name, else the oldest."""
    shares = split.shares()
    holder = _champion_id(split.model)
    arms = [arm for arm in split.arms.select_related("version") if arm.letter]
    return max(
        arms, key=lambda arm: (shares[arm.version_id], arm.version_id == holder, -arm.version.number)
    ).version


def _move(split: Split, to: Status, **columns: Any) -> None:
    old = Status(split.status)
    if to not in ALLOWED[old]:
        raise Conflict(f"{split} is {old}; from there it cannot become {to}.")
    if not Split.objects.filter(pk=split.pk, status=old).update(status=to, **columns):
        raise StaleState(f"{split} is no longer {old}; somebody else moved it first. Look again.")


def _tell(split: Split, before: dict[str, Any] | None, reason: str, action: str, by: Actor) -> Split:
    written = _reread(split)
    after = _told(written) or {}
    record_change(action=action, subject=written, before=before, after=after, reason=reason, by=by)
    if written.status == Status.CURRENT:
        told = ", ".join(f"version {number} {share / 100:g} %" for number, share in after["arms"].items())
        is_stopped = written.model.holds.filter(kind=Hold.Kind.STOPPED, to_at=None).exists()
        answers = "is stopped; once it is started, it answers" if is_stopped else "now answers"
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
            summary=f"{written.model.slug} {answers} with {told}.",
        )
    return written


def _told(split: Split | None) -> dict[str, Any] | None:
    """What record and events keep of a split."""
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
            f" they must make 100 % ({WHOLE:,})."
        )
    if any(not 1 <= share <= WHOLE for share in [*arms.values(), *shadows.values()]):
        raise Invalid(
            f"A share is 0.01 to 100 % (1 to {WHOLE:,} basis points); leave out a version that gets nothing."
        )
    if len(arms) > MAX_ARMS or len(shadows) > MAX_ARMS:
        raise Invalid(f"A split can hold {MAX_ARMS} arms and as many shadows.")
    if twice := arms.keys() & shadows.keys():
        raise Invalid(f"{', '.join(str(version) for version in twice)} cannot both answer and shadow.")


def check_ready(model: Model, versions: list[Version]) -> None:
    found = Version.objects.select_related("model").in_bulk([version.pk for version in versions])
    for version in versions:
        present = found.get(version.pk)
        if present is None or present.model_id != model.pk:
            raise Invalid(f"A split of {model.slug} can only hold versions of {model.slug}.")
        if not present.is_servable:
            raise VersionNotReady(
                f"{present} is {present.status}; only a ready version can be put on a split."
            )
        check_not_broken(present)


def check_not_broken(version: Version) -> None:
    if version.is_broken:
        raise VersionNotReady(
            f"{version} is broken: it ended processes that ran it. Look at its crashes; a person may clear it."
        )


def check_frozen(model: Model) -> None:
    hold = model.holds.filter(kind=Hold.Kind.FROZEN, to_at=None).first()
    if hold is not None:
        raise ModelFrozen(
            f"{model.slug} is frozen ({hold.text}), so nothing may gain live share. Unfreeze it first; "
            "lowering, stopping and rolling back work all the same."
        )


def plan_for(model: Model, arms: Shares) -> Plan:
    """What the arms would change about who answers now."""
    current = _current(model)
    return Plan(
        model=model,
        arms=dict(arms),
        before=current.shares() if current is not None else {},
        leader=champion_of(model),
    )


def _is_held_by_freeze(model: Model, split: Split) -> bool:
    if split.goes_back or not _gains(model, split.shares()):
        return False
    return model.holds.filter(kind=Hold.Kind.FROZEN, to_at=None).exists()


def check_expected(model: Model, expected_revision: int | None) -> None:
    if expected_revision is not None and expected_revision != model.split_revision:
        raise StaleState(
            f"The newest split of {model.slug} is number {model.split_revision}, not {expected_revision}; "
            "somebody else changed it first. Look again."
        )


def _current(model: Model) -> Split | None:
    return model.splits.filter(status=Status.CURRENT).first()


def _gains(model: Model, after: Mapping[int, int]) -> bool:
    current = _current(model)
    before = current.shares() if current is not None else {}
    return policies.gains_share(before, after, leader=_champion_id(model))


def _champion_id(model: Model) -> int | None:
    return model.aliases.filter(name=CHAMPION).values_list("version_id", flat=True).first()


def _reread(split: Split) -> Split:
    return Split.objects.select_related("model").get(pk=split.pk)
