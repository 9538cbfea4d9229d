"""Rolling back: what was live once is live again, and waits for nobody."""

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
    """Set the shares of an earlier split again, or give everything to a version that was live once.

    1. Without a goal it is the split before the current one.
    2. Neither an approval nor a freeze nor a golden set has a say in it: it was live before.
    3. What is warm answers at once; what is not is loaded first, and the split waits for that alone.
    """
    by.check(Right.ROLL_BACK, model_id=model.pk)
    why = checked_reason(reason)
    if to_split is not None and to_version is not None:
        raise Invalid("Name a split or a version to go back to, not both.")
    present = lock_model(model)
    check_expected(present, expected_revision)
    if to_version is not None:
        shares: Mapping[Version, int] = {_once_live(present, to_version): WHOLE}
    else:
        shares = _shares_of(_once_current(present, to_split))
    _check_may_return(shares)
    return write_split(present, shares, {}, why, action="roll_back", by=by, goes_back=True)


def _once_current(model: Model, split: Split | None) -> Split:
    goal = split or previous_split(model)
    if goal is None or goal.model_id != model.pk:
        raise NotFound(f"{model.slug} has no earlier split to go back to.")
    if goal.from_at is None:
        raise Conflict(f"{goal} was never live, so there is nothing to go back to.")
    return goal


def _once_live(model: Model, version: Version) -> Version:
    if version.model_id != model.pk:
        raise NotFound(f"{model.slug} has no such version to go back to.")
    answered = version.arms.exclude(letter="")
    if answered.filter(split__status=Status.PAST).exists() or version == champion_of(model):
        return version
    if answered.filter(split__status=Status.CURRENT).exists():
        raise Conflict(
            f"{version} answers for the first time now, so giving it more is no way back. Set a split, or ask for one."
        )
    raise Conflict(
        f"{version} was never live, so there is nothing to go back to. Set a split that holds it instead."
    )


def _shares_of(split: Split) -> dict[Version, int]:
    by_id = {arm.version_id: arm.version for arm in split.arms.select_related("version__model")}
    return {by_id[version_id]: share for version_id, share in split.shares().items()}


def _check_may_return(versions: Iterable[Version]) -> None:
    found = Version.objects.select_related("model").in_bulk([version.pk for version in versions])
    for version in found.values():
        if version.status == VersionStatus.ARCHIVED:
            raise VersionNotReady(
                f"{version} is archived, so it cannot answer again. Bring it back first, then roll back to it."
            )
        if not version.is_servable:
            raise VersionNotReady(
                f"{version} is {version.status}, so it cannot answer again. {version.failure}".strip()
            )
        check_not_broken(version)
