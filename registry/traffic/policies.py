"""Which splits give a version live share: the rule behind freezes, approvals and rights."""

from collections.abc import Mapping

from registry.access.policies import Right
from registry.kit.actors import Actor


def gains_share(before: Mapping[int, int], after: Mapping[int, int], *, leader: int | None) -> bool:
    """Whether a version gains live share. More share for the leader (`champion`) is not a gain: lowering a candidate
    must never be held up."""
    return any(share > before.get(version, 0) for version, share in after.items() if version != leader)


def check_may_set(by: Actor, model_id: int, *, gains: bool) -> None:
    """Check the right to set a split; the right to lower is enough if no version gains share."""
    if gains or not by.may(Right.LOWER, model_id=model_id):
        by.check(Right.SET_SPLIT, model_id=model_id)
