"""Aliases: movable names with a history of moves; and guards, which limit who may move them."""

from collections.abc import Collection
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from registry.access.models import ApiKey
from registry.access.policies import Right
from registry.catalogue.models import CHAMPION, Alias, AliasGuard, AliasMove, Model, Version
from registry.catalogue.policies import check_guard, key_may_move, person_may_move
from registry.catalogue.route_changes import Stamp, lock_model, stamp
from registry.catalogue.selectors import guard_of
from registry.catalogue.validation import check_revision, check_row, checked_reason
from registry.errors import Invalid, NotFound, StaleState, VersionNotReady
from registry.kit.actors import Actor
from registry.record.audit import record_change, subject_of

MAX_NAMED = 50  # people per guard, and keys per guard


@transaction.atomic
def move_alias(
    *,
    model: Model,
    name: str,
    version: Version,
    reason: str,
    expected_revision: int | None = None,
    by: Actor,
) -> Alias:
    """Point an alias at a version, creating it if needed. `champion` follows the split and cannot be moved here.

    Only people and keys named in its guard may move or retire a guarded alias.
    """
    by.check(Right.MOVE_ALIAS, model_id=model.pk)
    _refuse_champion(model, name, "set the split to move it")
    why = checked_reason(reason)
    if version.model_id != model.pk:
        raise Invalid(f"An alias of {model.slug} must point to a version of {model.slug}.")
    present = lock_model(model)
    check_guard(model=present, name=name, by=by)
    if not Version.objects.get(pk=version.pk).is_servable:
        raise VersionNotReady(f"{version} is not ready; an alias must point to a ready version.")
    alias = _get_or_create(present, name)
    check_revision(alias, alias.revision, expected_revision)
    return point_alias(alias=alias, version=version, at=stamp(present), reason=why, by=by)


@transaction.atomic
def retire_alias(*, alias: Alias, reason: str, expected_revision: int | None = None, by: Actor) -> Alias:
    """Make an alias point to no version. Its history stays, and it can be moved again."""
    by.check(Right.MOVE_ALIAS, model_id=alias.model_id)
    _refuse_champion(alias.model, alias.name, "set the split to move it")
    why = checked_reason(reason)
    present = lock_model(alias.model)
    alias = Alias.objects.select_related("model", "version").get(pk=alias.pk)
    check_guard(model=present, name=alias.name, by=by)
    check_revision(alias, alias.revision, expected_revision)
    if alias.version is None:
        raise NotFound(f"{alias} already points to no version.")
    return point_alias(alias=alias, version=None, at=stamp(present), reason=why, by=by)


def follow_split(*, model: Model, version: Version, at: Stamp, reason: str, by: Actor) -> None:
    """Point `champion` at the split's leading version; only the split services call this."""
    alias = _get_or_create(model, CHAMPION)
    if alias.version_id != version.pk:
        point_alias(alias=alias, version=version, at=at, reason=reason, by=by)


def point_alias(*, alias: Alias, version: Version | None, at: Stamp, reason: str, by: Actor) -> Alias:
    """End the current move and start the next; the caller has locked the Model and checked the rights."""
    before = alias.version.number if alias.version is not None else None
    if not Alias.objects.filter(pk=alias.pk, revision=alias.revision).update(
        version=version, revision=F("revision") + 1
    ):
        raise StaleState(f"{alias} was changed at the same moment; reload and try again.")
    alias.moves.filter(to_at=None).update(to_at=at.at)
    if version is not None:
        AliasMove.objects.create(
            alias=alias, version=version, from_at=at.at, moved_by=by.name[:200], reason=reason
        )
    record_change(
        action="move_alias" if version is not None else "retire_alias",
        subject=alias,
        before={"version": before},
        after={"version": version.number if version is not None else None},
        reason=reason,
        by=by,
    )
    return Alias.objects.select_related("model", "version").get(pk=alias.pk)


def _get_or_create(model: Model, name: str) -> Alias:
    alias = Alias.objects.select_related("version").filter(model=model, name=name).first()
    if alias is None:
        alias = Alias(model=model, name=name, revision=0)
        check_row(alias)
        alias.save()
    alias.model = model
    return alias


def _refuse_champion(model: Model, name: str, advice: str) -> None:
    if name == CHAMPION:
        raise Invalid(f"{CHAMPION} follows the split of {model.slug}; {advice}.")


@transaction.atomic
def guard_alias(
    *,
    model: Model,
    name: str,
    people: Collection[User] = (),
    keys: Collection[ApiKey] = (),
    reason: str,
    expected_revision: int | None = None,
    by: Actor,
) -> AliasGuard:
    """Allow only these people and keys to move or retire the alias; they replace those named before."""
    by.check(Right.MANAGE_SETTINGS, model_id=model.pk)
    _refuse_champion(model, name, "it cannot be guarded")
    why = checked_reason(reason)
    _check_named(model, people, keys)
    present = lock_model(model)
    old = guard_of(present, name)
    guard = old or AliasGuard(model=present, name=name, revision=0)
    check_revision(f"The {guard}", guard.revision, expected_revision)
    before = _audit_fields(old)
    guard.revision, guard.reason = guard.revision + 1, why
    guard.made_by, guard.made_at = by.name[:200], timezone.now()
    check_row(guard)
    guard.save()
    guard.people.set(people)
    guard.keys.set(keys)
    _mark_changed(guard)
    record_change(
        action="guard_alias", subject=guard, before=before, after=_audit_fields(guard), reason=why, by=by
    )
    return guard


@transaction.atomic
def unguard_alias(
    *, model: Model, name: str, reason: str, expected_revision: int | None = None, by: Actor
) -> None:
    """Remove the guard: everyone with the right to move aliases may move this one again."""
    by.check(Right.MANAGE_SETTINGS, model_id=model.pk)
    why = checked_reason(reason)
    present = lock_model(model)
    guard = guard_of(present, name)
    if guard is None:
        raise NotFound(f"{present.slug}@{name[:64]} has no guard.")
    check_revision(f"The {guard}", guard.revision, expected_revision)
    before, subject = _audit_fields(guard), subject_of(guard)
    _mark_changed(guard)
    guard.delete()
    record_change(action="unguard_alias", subject=subject, before=before, after=None, reason=why, by=by)


def _check_named(model: Model, people: Collection[User], keys: Collection[ApiKey]) -> None:
    if not people and not keys:
        raise Invalid("Name at least one person or key who may move the alias.")
    if max(len(people), len(keys)) > MAX_NAMED:
        raise Invalid(f"A guard names at most {MAX_NAMED} people and {MAX_NAMED} keys.")
    for user in people:
        if not user.is_active:
            raise Invalid(f"{user.get_username()} is not active; choose someone who is.")
        if not person_may_move(user, model):
            raise Invalid(
                f"{user.get_username()} has no role that allows moving aliases of {model.slug}; "
                "make them an operator, or choose someone else."
            )
    for key in keys:
        if not key.is_valid:
            raise Invalid(f"The key {key} has expired or was revoked; choose another.")
        if not key_may_move(key, model):
            raise Invalid(
                f"The key {key} may not move aliases of {model.slug}; "
                "give it the scope registry.write for this Model, or choose another."
            )


def _mark_changed(guard: AliasGuard) -> None:
    """Give the alias, if it exists, a new ETag: its JSON includes the guard."""
    Alias.objects.filter(model=guard.model, name=guard.name).update(revision=F("revision") + 1)


def _audit_fields(guard: AliasGuard | None) -> dict[str, Any] | None:
    if guard is None:
        return None
    return {
        "people": sorted(user.get_username() for user in guard.people.all()),
        "keys": [
            {"id": key.pk, "name": key.name} for key in sorted(guard.keys.all(), key=lambda key: key.pk)
        ],
    }
