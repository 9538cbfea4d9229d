"""Rollback: restore what was live before, without approval."""

from collections.abc import Iterable, Mapping

from django.db import transaction

from registry.access.policies import Right
from registry.catalogue.models import Model, Version
from registry.catalogue.route_changes import lock_model
from registry.catalogue.transitions import Status as VersionStatus
from registry.catalogue.validation import checked_reason
from registry.errors import Conflict, Invalid, NotFound, VersionNotReady
from registry.intake.examples.selectors import champion_of
from registry.kit.actors import Actor
from registry.traffic.assignment import WHOLE
from registry.traffic.models import Split
from registry.traffic.selectors import previous_split
from registry.traffic.services.splits import check_expected, check_not_broken, write_split
from registry.traffic.transitions import Status


@transaction.atomic
def roll_back(
    *,
    model: Model,
    to_split: Split | None = None,
    to_version: Version | None = None,
    reason: str,
    expected_revision: int | None = None,
    by: Actor,
) -> Split:
    """Restore the shares of an earlier split, or give all traffic to a version that was live before.

    1. The default is the newest earlier split that no rollback has ended.
    2. A rollback needs no approval and ignores freezes and golden sets: what it restores was live before.
    3. Warm versions answer at once; the split waits only for those that must be loaded.
    """
    by.check(Right.ROLL_BACK, model_id=model.pk)
    why = checked_reason(reason)
    if to_split is not None and to_version is not None:
        raise Invalid("Name a split or a version to go back to, not both.")
    present = lock_model(model)
    check_expected(present, expected_revision)
    if to_version is not None:
        shares: Mapping[Version, int] = {_check_was_live(present, to_version): WHOLE}
    else:
        shares = _shares_of(_earlier_split(present, to_split))
    _check_servable(shares)
    return write_split(present, shares, {}, why, action="roll_back", by=by, goes_back=True)


def _earlier_split(model: Model, split: Split | None) -> Split:
    earlier = split or previous_split(model)
    if earlier is None or earlier.model_id != model.pk:
        raise NotFound(
            f"{model.slug} has no earlier split to go back to"
            f"{' that was not rolled back itself; name a split or a version' if split is None else ''}."
        )
    if earlier.from_at is None:
        raise Conflict(f"{earlier} was never live, so there is nothing to go back to.")
    return earlier


def _check_was_live(model: Model, version: Version) -> Version:
    if version.model_id != model.pk:
        raise NotFound(f"{model.slug} has no such version to go back to.")
    answered = version.arms.exclude(letter="")
    if answered.filter(split__status=Status.PAST).exists() or version == champion_of(model):
        return version
    if answered.filter(split__status=Status.CURRENT).exists():
        raise Conflict(
            f"{version} is live for the first time, so giving it more traffic is not a rollback. Set or request a split."
        )
    raise Conflict(
        f"{version} was never live, so there is nothing to go back to. Set a split with it instead."
    )


def _shares_of(split: Split) -> dict[Version, int]:
    by_id = {arm.version_id: arm.version for arm in split.arms.select_related("version__model")}
    return {by_id[version_id]: share for version_id, share in split.shares().items()}


def _check_servable(versions: Iterable[Version]) -> None:
    present = Version.objects.select_related("model").in_bulk([version.pk for version in versions])
    for version in present.values():
        if version.status == VersionStatus.ARCHIVED:
            raise VersionNotReady(
                f"{version} is archived, so it cannot answer. Unarchive it first, then roll back to it."
            )
        if not version.is_servable:
            raise VersionNotReady(
                f"{version} is {version.status}, so it cannot answer. {version.failure}".strip()
            )
        check_not_broken(version)
