"""Guards: who may move the alias of a name, among those who may move aliases."""

from collections.abc import Collection
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from registry.access.models import ApiKey
from registry.access.policies import Right
from registry.catalogue.announce import lock_model
from registry.catalogue.models import CHAMPION, Alias, AliasGuard, Model
from registry.catalogue.policies import key_may_move, person_may_move
from registry.catalogue.selectors import guard_of
from registry.catalogue.validation import check_row, checked_reason
from registry.errors import Invalid, NotFound, StaleState
from registry.kit.actors import Actor
from registry.record.audit import record_change, subject_of

MAX_NAMED = 50


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
    """Let only these people and keys move or retire the alias of this name; who was named before is not any more."""
    by.check(Right.MANAGE_SETTINGS, model_id=model.pk)
    _refuse_champion(model, name)
    why = checked_reason(reason)
    _check_named(model, people, keys)
    present = lock_model(model)
    before = guard_of(present, name)
    _check_expected(present, name, before, expected_revision)
    guard = before or AliasGuard(model=present, name=name, revision=0)
    told_before = _told(before)
    guard.revision, guard.reason = guard.revision + 1, why
    guard.made_by, guard.made_at = by.name[:200], timezone.now()
    check_row(guard)
    guard.save()
    guard.people.set(people)
    guard.keys.set(keys)
    _mark_changed(guard)
    record_change(
        action="guard_alias", subject=guard, before=told_before, after=_told(guard), reason=why, by=by
    )
    return guard


@transaction.atomic
def unguard_alias(
    *, model: Model, name: str, reason: str, expected_revision: int | None = None, by: Actor
) -> None:
    """Let everybody who may move aliases move the one of this name too."""
    by.check(Right.MANAGE_SETTINGS, model_id=model.pk)
    why = checked_reason(reason)
    present = lock_model(model)
    guard = guard_of(present, name)
    if guard is None:
        raise NotFound(f"{present.slug}@{name[:64]} has no guard.")
    _check_expected(present, name, guard, expected_revision)
    told, subject = _told(guard), subject_of(guard)
    _mark_changed(guard)
    guard.delete()
    record_change(action="unguard_alias", subject=subject, before=told, after=None, reason=why, by=by)


def _refuse_champion(model: Model, name: str) -> None:
    if name == CHAMPION:
        raise Invalid(f"{CHAMPION} follows the split of {model.slug} and nobody moves it; it takes no guard.")


def _check_named(model: Model, people: Collection[User], keys: Collection[ApiKey]) -> None:
    if not people and not keys:
        raise Invalid("Name at least one person or key who may move the alias.")
    if max(len(people), len(keys)) > MAX_NAMED:
        raise Invalid(f"A guard names at most {MAX_NAMED} people and {MAX_NAMED} keys.")
    for user in people:
        if not user.is_active:
            raise Invalid(f"{user.get_username()} is not active; name somebody who is.")
        if not person_may_move(user, model):
            raise Invalid(
                f"{user.get_username()} has no role to move aliases of {model.slug} with; "
                "make them an operator there, or name somebody else."
            )
    for key in keys:
        if not key.is_valid:
            raise Invalid(f"The key {key} has expired or was revoked; name another.")
        if not key_may_move(key, model):
            raise Invalid(
                f"The key {key} may not move aliases of {model.slug}; "
                "give it the scope registry.write there, or name another."
            )


def _check_expected(model: Model, name: str, guard: AliasGuard | None, expected_revision: int | None) -> None:
    present = guard.revision if guard is not None else 0
    if expected_revision is not None and present != expected_revision:
        raise StaleState(f"The guard of {model.slug}@{name[:64]} was changed since you read it; look again.")


def _mark_changed(guard: AliasGuard) -> None:
    """Give the alias another ETag, where there is one: what is read of it tells of its guard."""
    Alias.objects.filter(model=guard.model, name=guard.name).update(revision=F("revision") + 1)


def _told(guard: AliasGuard | None) -> dict[str, Any] | None:
    """What the record keeps about a guard."""
    if guard is None:
        return None
    return {
        "people": sorted(user.get_username() for user in guard.people.all()),
        "keys": [
            {"id": key.pk, "name": key.name} for key in sorted(guard.keys.all(), key=lambda key: key.pk)
        ],
    }
