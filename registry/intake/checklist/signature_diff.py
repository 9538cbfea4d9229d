"""What changed between two signatures, and whether it breaks callers of the old one. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Spec = Mapping[str, Any]  # name, datatype, shape, optional, any_rank, as stored in a version's signature


class ChangeEffect(StrEnum):
    COMPATIBLE = "compatible"
    BREAKING = "breaking"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference; `side` is input or output, `kind` is stable, `sentence` is for people."""

    side: str
    name: str
    kind: str
    effect: ChangeEffect
    sentence: str

    @property
    def is_breaking(self) -> bool:
        return self.effect is ChangeEffect.BREAKING


def signature_diff(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """List the differences between what callers of `old` send and read and what `new` accepts and returns.

    An input may accept more than before, and an output may vary less; the opposite breaks callers.
    """
    return [
        *_side("input", old.get("inputs") or (), new.get("inputs") or ()),
        *_side("output", old.get("outputs") or (), new.get("outputs") or ()),
    ]


def is_breaking(changes: Sequence[Change]) -> bool:
    return any(change.is_breaking for change in changes)


def _side(side: str, old: Sequence[Spec], new: Sequence[Spec]) -> list[Change]:
    before = {str(spec["name"]): spec for spec in old}
    after = {str(spec["name"]): spec for spec in new}
    changes = [_removed(side, name) for name in before if name not in after]
    changes += [_added(side, name, spec) for name, spec in after.items() if name not in before]
    for name in before:
        if name in after:
            changes += _changed(side, name, before[name], after[name])
    return changes


def _removed(side: str, name: str) -> Change:
    does = "send" if side == "input" else "read"
    return Change(side, name, "removed", ChangeEffect.BREAKING,
                  f"The {side} {name!r} was removed; callers that {does} it fail.")  # fmt: skip


def _added(side: str, name: str, spec: Spec) -> Change:
    if side == "output":
        return Change(side, name, "added", ChangeEffect.COMPATIBLE, f"The output {name!r} is new.")
    if spec.get("optional"):
        return Change(
            side, name, "added", ChangeEffect.COMPATIBLE, f"The input {name!r} is new, and optional."
        )
    return Change(side, name, "added", ChangeEffect.BREAKING,
                  f"The input {name!r} is new and required; callers do not send it yet.")  # fmt: skip


def _changed(side: str, name: str, old: Spec, new: Spec) -> list[Change]:
    changes = []
    if old["datatype"] != new["datatype"]:
        sentence = f"The {side} {name!r} was {old['datatype']} and is now {new['datatype']}."
        changes.append(Change(side, name, "datatype", ChangeEffect.BREAKING, sentence))
    changes += _shape(side, name, old, new)
    if side == "input" and bool(old.get("optional")) != bool(new.get("optional")):
        required = not new.get("optional")
        said = "must now be sent" if required else "may now be left out"
        effect = ChangeEffect.BREAKING if required else ChangeEffect.COMPATIBLE
        changes.append(
            Change(side, name, "required" if required else "optional", effect, f"The input {name!r} {said}.")
        )
    return changes


def _shape(side: str, name: str, old: Spec, new: Spec) -> list[Change]:
    was, is_now = _words(old), _words(new)
    if was == is_now:
        return []
    # An input must accept everything it accepted before; an output must stay within its old shape.
    wide, narrow = (new, old) if side == "input" else (old, new)
    effect = ChangeEffect.COMPATIBLE if _holds(wide, narrow) else ChangeEffect.BREAKING
    is_rank = not (old.get("any_rank") or new.get("any_rank")) and len(old["shape"]) != len(new["shape"])
    if is_rank:
        kind = "rank"
    elif effect is ChangeEffect.COMPATIBLE:
        kind = "wider" if side == "input" else "narrower"
    else:
        kind = "dims"
    return [
        Change(side, name, kind, effect, f"The shape of the {side} {name!r} was {was} and is now {is_now}.")
    ]


def _holds(wide: Spec, narrow: Spec) -> bool:
    """Whether every tensor of the narrow shape fits the wide one."""
    if wide.get("any_rank"):
        return True
    if narrow.get("any_rank") or len(wide["shape"]) != len(narrow["shape"]):
        return False
    return all(a is None or a == b for a, b in zip(wide["shape"], narrow["shape"], strict=True))


def _words(spec: Spec) -> str:
    if spec.get("any_rank"):
        return "of any rank"
    sizes = ["any" if size is None else str(size) for size in spec["shape"]]
    return f"({' × '.join(sizes)})" if sizes else "a scalar"
