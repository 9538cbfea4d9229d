"""Aliases: movable names, with every move kept."""

from django.db import transaction
from django.db.models import F

from registry.access.policies import Right
from registry.catalogue.announce import Stamp, lock_model, stamp
from registry.catalogue.models import CHAMPION, Alias, AliasMove, Model, Version
from registry.catalogue.policies import check_guard
from registry.catalogue.validation import check_row, checked_reason
from registry.errors import Invalid, NotFound, StaleState, VersionNotReady
from registry.kit.actors import Actor
from registry.record.audit import record_change


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
    """Point a name at a version, making the name if it is new. `champion` follows the split and nothing else.

    Where the name is guarded, only those whom its guard names may do it; the same holds for retiring.
    """
    by.check(Right.MOVE_ALIAS, model_id=model.pk)
    _refuse_champion(model, name)
    why = checked_reason(reason)
    if version.model_id != model.pk:
        raise Invalid(f"An alias of {model.slug} can only name a version of {model.slug}.")
    present = lock_model(model)
    check_guard(model=present, name=name, by=by)
    if not Version.objects.get(pk=version.pk).is_servable:
        raise VersionNotReady(f"{version} is not ready; an alias can only name a version that can answer.")
    alias = _found_or_made(present, name)
    _check_expected(alias, expected_revision)
    return point_alias(alias=alias, version=version, at=stamp(present), reason=why, by=by)


@transaction.atomic
def retire_alias(*, alias: Alias, reason: str, expected_revision: int | None = None, by: Actor) -> Alias:
    """Let a name point nowhere. Its history stays, and it can be moved again."""
    by.check(Right.MOVE_ALIAS, model_id=alias.model_id)
    _refuse_champion(alias.model, alias.name)
    why = checked_reason(reason)
    present = lock_model(alias.model)
    alias = Alias.objects.select_related("model", "version").get(pk=alias.pk)
    check_guard(model=present, name=alias.name, by=by)
    _check_expected(alias, expected_revision)
    if alias.version is None:
        raise NotFound(f"{alias} points nowhere already.")
    return point_alias(alias=alias, version=None, at=stamp(present), reason=why, by=by)


def follow_split(*, model: Model, version: Version, at: Stamp, reason: str, by: Actor) -> None:
    """Keep `champion` at the version that the split chose; only the split's service calls this."""
    alias = _found_or_made(model, CHAMPION)
    if alias.version_id != version.pk:
        point_alias(alias=alias, version=version, at=at, reason=reason, by=by)


def point_alias(*, alias: Alias, version: Version | None, at: Stamp, reason: str, by: Actor) -> Alias:
    """End the open move, begin the next, and record both; the caller holds the Model and has checked the rights."""
    before = alias.version.number if alias.version is not None else None
    if not Alias.objects.filter(pk=alias.pk, revision=alias.revision).update(
        version=version, revision=F("revision") + 1
    ):
        raise StaleState(f"{alias} was changed at the same moment; look again.")
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


def _found_or_made(model: Model, name: str) -> Alias:
    alias = Alias.objects.select_related("version").filter(model=model, name=name).first()
    if alias is None:
        alias = Alias(model=model, name=name, revision=0)
        check_row(alias)
        alias.save()
    alias.model = model
    return alias


def _check_expected(alias: Alias, expected_revision: int | None) -> None:
    if expected_revision is not None and alias.revision != expected_revision:
        raise StaleState(f"{alias} was changed since you read it; look again.")


def _refuse_champion(model: Model, name: str) -> None:
    if name == CHAMPION:
        raise Invalid(f"{CHAMPION} follows the split of {model.slug}; set the split to move it.")
