"""What a split does to those it changes: the rule behind freezing and behind who may set which split."""

from collections.abc import Mapping

from registry.access.policies import Right
from registry.kit.actors import Actor


def gains_share(before: Mapping[int, int], after: Mapping[int, int], *, leader: int | None) -> bool:
    """Whether a version gains live share. Share that falls back to the leader, the one `champion` names, is no
    gain: lowering a candidate must never wait for anybody."""
    return any(share > before.get(version, 0) for version, share in after.items() if version != leader)


def check_may_set(by: Actor, model_id: int, *, gains: bool) -> None:
    """Setting any split needs its right; one that only lowers may also be set with the right to lower."""
    if gains or not by.may(Right.LOWER, model_id=model_id):
        by.check(Right.SET_SPLIT, model_id=model_id)
