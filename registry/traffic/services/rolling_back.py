"""Rolling back: the shares of an earlier split are set again."""

from django.db import transaction

from registry.access.policies import Right
from registry.catalogue.announce import lock_model
from registry.catalogue.models import Model
from registry.catalogue.validation import checked_reason
from registry.errors import Conflict, NotFound
from registry.record.actors import Actor
from registry.traffic.models import Split
from registry.traffic.services.splits import check_expected, check_ready, write_split
from registry.traffic.transitions import Status


@transaction.atomic
def roll_back(
    *,
    model: Model,
    to_split: Split | None = None,
    reason: str,
    expected_revision: int | None = None,
    by: Actor,
) -> Split:
    """Set the shares of an earlier split again: the one before the current, unless another is named. Never waits
    for anybody, so a frozen Model can be rolled back too."""
    by.check(Right.ROLL_BACK, model_id=model.pk)
    why = checked_reason(reason)
    present = lock_model(model)
    check_expected(present, expected_revision)
    goal = to_split or present.splits.filter(status=Status.PAST).order_by("-from_at", "-number").first()
    if goal is None or goal.model_id != model.pk:
        raise NotFound(f"{model.slug} has no earlier split to go back to.")
    if goal.from_at is None:
        raise Conflict(f"{goal} was never current, so there is nothing to go back to.")
    by_id = {arm.version_id: arm.version for arm in goal.arms.select_related("version")}
    shares = {by_id[version_id]: share for version_id, share in goal.shares().items()}
    check_ready(present, [*shares])
    return write_split(present, shares, {}, why, action="roll_back", by=by)
