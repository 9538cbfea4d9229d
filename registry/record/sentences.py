"""Audit records in sentences. Each room adds one for every action that it records."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

import structlog

from registry.kit.admin.facts import name_in_words, short, value_in_words
from registry.kit.registrations import Registrations
from registry.record.models import AuditRecord

log = structlog.get_logger("roundhouse.record")

_LONGEST, _LONGEST_VALUE, _MOST_NAMES = 300, 60, 6
_SECRET = re.compile(r"secret|password|token|digest|salt|hash")
_MEASURE = re.compile(r"(?P<number>[\d.,]+) (?P<unit>\S+)")


@dataclass(frozen=True, slots=True)
class RecordedChange:
    """What a sentence is made of. `before` and `after` are empty if nothing was recorded."""

    action: str
    kind: str
    object_id: str
    label: str
    model_slug: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The object's label without its Model, which every list shows beside the sentence: `fraud split 3` is split 3."""
        rest = self.label.removeprefix(self.model_slug)
        return rest[1:] if self.model_slug and rest[:1] in {" ", "@"} else self.label

    def with_values(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> "RecordedChange":
        return replace(self, before=before, after=after)

    def with_moments(self, *names: str) -> "RecordedChange":
        """The same change with these times, which records keep as ISO 8601, to be read by people."""
        before, after = (
            {name: moment(value) if name in names and value else value for name, value in values.items()}
            for values in (self.before, self.after)
        )
        return self.with_values(before, after)


class Importance(StrEnum):
    """What makes an action important."""

    LIVE = "traffic"  # it changes which version answers
    ACCESS = "access"  # it changes who may do what


@dataclass(frozen=True, slots=True)
class Sentence:
    """How an action is told: in the past tense, without the person who did it."""

    write: Callable[[RecordedChange], str]
    badge: Importance | None = None
    # In a line about several changes, with {label} or {number} of the object; "": left out, as it follows from another.
    step: str | None = None
    stands_alone: bool = False  # never joined with other changes in one line


SENTENCES: Registrations[Sentence] = Registrations("sentence")


def describe(record: AuditRecord) -> str:
    """One sentence about the record: what was changed, without who did it."""
    change = RecordedChange(
        action=record.action,
        kind=record.object_kind,
        object_id=record.object_id,
        label=record.object_label,
        model_slug=record.model_slug,
        before=record.before or {},
        after=record.after or {},
    )
    return short(_written(change), _LONGEST)


def badge_of(record: AuditRecord) -> Importance | None:
    """Why the record's action is important; None if it is not."""
    return SENTENCES[record.action].badge if record.action in SENTENCES else None


def _written(change: RecordedChange) -> str:
    """The action's own sentence; its name and values if it has none, or if another release recorded other values."""
    if change.action in SENTENCES:
        try:
            return SENTENCES[change.action].write(change)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            log.debug("sentence failed", action=change.action, exc_info=error)
    sentence = f"{change.action.replace('_', ' ')} {change.label}".strip()
    values = changed_values(change)
    return f"{sentence}: {values}" if values else sentence


def changed_values(
    change: RecordedChange,
    names: Mapping[str, str] | None = None,
    *,
    none: str = "none",
    ignored: Collection[str] = (),
) -> str:
    """The values that differ, as in `owner: ann → bob; title: A → B`.

    `names` says what the values are called, and puts them in order; `none` stands for an empty value.
    """
    names = names or {}
    recorded = {*change.before, *change.after} - set(ignored)
    ordered = [*(name for name in names if name in recorded), *sorted(recorded - set(names))]
    changed = [name for name in ordered if change.before.get(name) != change.after.get(name)]
    return "; ".join(
        f"{names.get(name) or name_in_words(name)}{_values(name, change, none)}" for name in changed
    )


def _values(name: str, change: RecordedChange, none: str) -> str:
    if _SECRET.search(name):
        return " changed"
    new = _value(name, change.after.get(name), none)
    return f": {arrow(_value(name, change.before[name], none), new)}" if name in change.before else f": {new}"


def arrow(old: str, new: str) -> str:
    """`50 → 20 ms`: the unit is written once if it is the same."""
    first, second = _MEASURE.fullmatch(old), _MEASURE.fullmatch(new)
    if first and second and first["unit"] == second["unit"]:
        return f"{first['number']} → {new}"
    return f"{old} → {new}"


def _value(name: str, value: Any, none: str) -> str:
    if value in (None, "", [], {}):
        return none
    return short(value_in_words(name, value), _LONGEST_VALUE)


def percent(basis_points: float) -> str:
    return f"{basis_points / 100:g} %"


def listed(names: Iterable[object]) -> str:
    """The names, separated by commas; after six of them, how many more there are."""
    words = [short(str(name), _LONGEST_VALUE) for name in names]
    more = len(words) - _MOST_NAMES
    return ", ".join(words[:_MOST_NAMES]) + (f" and {more:,} more" if more > 0 else "")


def counted(number: int, one: str, many: str = "") -> str:
    """`1 example`, `3 examples`."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def quoted(text: str) -> str:
    return f"“{short(text, _LONGEST // 2)}”"


def moment(text: str) -> str:
    """A time that was recorded, to the minute, in UTC."""
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M} UTC"


def size(size_bytes: int) -> str:
    return value_in_words("size_bytes", size_bytes)
