"""Says whether a version that gained live share did so as the rule demands."""

from dataclasses import dataclass
from typing import Any

from registry.access.policies import Right
from registry.catalogue.models import Alias, Model
from registry.kit.actors import Actor
from registry.record.models import AuditRecord
from registry.traffic.models import Arm, Split


@dataclass(frozen=True)
class State:
    """What is live or is to be, and what the rule looks at."""

    shares: dict[int, dict[int, int]]  # basis points by version, of splits that are current or wait to be
    current: dict[int, int]
    leader: int | None
    once_live: frozenset[int]
    needs_approval: bool
    newest_record: int


def look(model: Model) -> State:
    splits = Split.objects.filter(model=model, status__in=["current", "waiting"])
    reaching = list(splits.prefetch_related("arms"))
    answered = Arm.objects.filter(split__model=model, letter__gt="", split__from_at__isnull=False)
    return State(
        shares={split.number: split.shares() for split in reaching},
        current=next((split.shares() for split in reaching if split.status == "current"), {}),
        leader=Alias.objects.filter(model=model, name="champion").values_list("version", flat=True).first(),
        once_live=frozenset(answered.values_list("version", flat=True)),
        needs_approval=Model.objects.get(pk=model.pk).needs_approval,
        newest_record=AuditRecord.objects.order_by("-seq").values_list("seq", flat=True).first() or 0,
    )


def wrongs(model: Model, before: State, by: Actor) -> list[str]:
    """What is wrong with what this actor has just done to the Model. Share that falls back to the leader is no gain."""
    after = look(model)
    found = []
    for number in after.shares.keys() - before.shares.keys():
        gaining = _gaining(before, after.shares[number])
        if gaining:
            found += _wrong_with(model.splits.get(number=number), gaining, before, by)
    if after.needs_approval != before.needs_approval:
        found += _needs(by, Right.MANAGE_SETTINGS, model)
        found += _unrecorded(before, by, "set_approval_rule", model)
    if after.current and _leading(model) != after.leader:
        found.append("champion names another version than the one that leads")
    return found


def wrongs_with_settling(model: Model, before: State) -> list[str]:
    """A split that waited may become current; what it was written for was judged then."""
    after = look(model)
    return [] if after.shares.keys() <= before.shares.keys() else ["a split came from nowhere"]


def _gaining(before: State, after: dict[int, int]) -> set[int]:
    return {
        version
        for version, share in after.items()
        if share > before.current.get(version, 0) and version != before.leader
    }


def _wrong_with(split: Split, gaining: set[int], before: State, by: Actor) -> list[str]:
    request: Any = getattr(split, "request", None)
    if request is not None:
        wrong = {
            f"{request} is {request.status}": request.status != "approved",
            "the decider is no person": by.user_id is None or request.decider_id != by.user_id,
            "who asked has decided": request.asker_id == request.decider_id,
            "another split than was asked for": request.arms != _by_number(split),
        }
        found = _unrecorded(before, by, "approve_request", split) + _needs(by, Right.APPROVE, split.model)
        return found + [text for text, is_so in wrong.items() if is_so]
    if gaining <= before.once_live and not _unrecorded(before, by, "roll_back", split):
        return _needs(by, Right.ROLL_BACK, split.model)
    if before.needs_approval:
        return [f"{split} gives live share and nobody approved it"]
    return [*_unrecorded(before, by, "set_split", split), *_needs(by, Right.SET_SPLIT, split.model)]


def _needs(by: Actor, right: Right, model: Model) -> list[str]:
    return [] if by.may(right, model_id=model.pk) else [f"{by.name} lacks {right}"]


def _unrecorded(before: State, by: Actor, action: str, subject: Any) -> list[str]:
    written = AuditRecord.objects.filter(
        seq__gt=before.newest_record, action=action, object_id=str(subject.pk), actor_name=by.name, user_id=by.user_id,
        key_id=by.key_id, source=by.source,
    )  # fmt: skip
    return [] if written.exists() else [f"no record of {action} by {by.name}"]


def _by_number(split: Split) -> dict[str, int]:
    shares = split.shares()
    answering = split.arms.filter(letter__gt="").select_related("version")
    return {str(arm.version.number): shares[arm.version_id] for arm in answering}


def _leading(model: Model) -> int | None:
    """The version with the largest share; None where several have it."""
    shares = model.splits.get(status="current").shares()
    leading = [version for version, share in shares.items() if share == max(shares.values())]
    return leading[0] if len(leading) == 1 else look(model).leader
