"""What the records of splits, requests, stops and freezes say."""

from collections.abc import Mapping
from typing import Any

from registry.record.sentences import Importance, RecordedChange, Sentence, arrow, percent, quoted
from registry.traffic.transitions import Status

_WAITS = "; it waits until its versions are loaded"


def _shares(change: RecordedChange) -> str:
    """Every version's share before and after, newest version first."""
    arms = _parts(_of(change.before, "arms"), _of(change.after, "arms"))
    before, after = _of(change.before, "shadows"), _of(change.after, "shadows")
    mirrored = _parts(before, after) if before != after else []
    return ", ".join([*arms, *(f"mirrored to {part}" for part in mirrored)])


def _of(values: Mapping[str, Any], name: str) -> dict[str, int]:
    return dict(values[name]) if values else {}


def _parts(before: Mapping[str, int], after: Mapping[str, int]) -> list[str]:
    numbers = sorted({*before, *after}, key=int, reverse=True)
    return [
        f"v{number} {_share(before.get(number, 0), after.get(number, 0), is_first=not before)}"
        for number in numbers
    ]


def _share(before: int, after: int, *, is_first: bool) -> str:
    return percent(after) if is_first or before == after else arrow(percent(before), percent(after))


def _split(change: RecordedChange, verb: str) -> str:
    waits = _WAITS if change.after["status"] == Status.WAITING else ""
    return f"{verb}: {_shares(change)}{waits}"


def _set_split(change: RecordedChange) -> str:
    return _split(change, f"set split {change.after['split']}")


def _roll_back(change: RecordedChange) -> str:
    return _split(change, f"rolled back with split {change.after['split']}")


def _activate_split(change: RecordedChange) -> str:
    return _split(change, f"made split {change.after['split']} current")


def _expire_split(change: RecordedChange) -> str:
    return f"gave up {change.name}, which was waiting to become current"


def _reshuffle(change: RecordedChange) -> str:
    sentence = "reshuffled the routing keys: each gets a new random bucket"
    if change.kind != "split":
        return sentence
    waits = _WAITS if change.after["status"] == Status.WAITING else ""
    return f"{sentence} (split {change.after['split']}){waits}"


def _ask_for_split(change: RecordedChange) -> str:
    return f"opened {change.name} for {_shares(change)}"


def _approve_request(change: RecordedChange) -> str:
    """Approving writes two records: of the split, with the shares, and of the request."""
    if change.kind == "split":
        return _split(change, f"set split {change.after['split']}, as approved")
    return f"approved {change.name}; it became split {change.after['split']}"


def _reject_request(change: RecordedChange) -> str:
    return f"rejected {change.name}"


def _withdraw_request(change: RecordedChange) -> str:
    return f"withdrew {change.name}"


def _set_approval_rule(change: RecordedChange) -> str:
    if change.after["needs_approval"]:
        return "turned the approval rule on: live share needs a second person"
    return "turned the approval rule off: one person can give live share"


def _stop_model(change: RecordedChange) -> str:
    callers = f"callers get {quoted(change.after['stopped'])}"
    return f"changed the text of the stop: {callers}" if change.before else f"stopped the Model; {callers}"


def _start_model(_change: RecordedChange) -> str:
    return "started the Model again"


def _freeze_model(change: RecordedChange) -> str:
    if change.before:
        return f"changed the reason of the freeze to {quoted(change.after['frozen'])}"
    return "froze the Model: no version can gain live share"


def _unfreeze_model(_change: RecordedChange) -> str:
    return "unfroze the Model: versions can gain live share again"


TRAFFIC_SENTENCES = {
    "set_split": Sentence(_set_split, Importance.LIVE, step="set split {number}"),
    "roll_back": Sentence(_roll_back, Importance.LIVE, stands_alone=True),
    "activate_split": Sentence(_activate_split, Importance.LIVE),
    "expire_split": Sentence(_expire_split),
    "reshuffle": Sentence(_reshuffle, Importance.LIVE),
    "ask_for_split": Sentence(_ask_for_split, step="asked for approval"),
    "approve_request": Sentence(_approve_request, Importance.LIVE),
    "reject_request": Sentence(_reject_request),
    "withdraw_request": Sentence(_withdraw_request),
    "set_approval_rule": Sentence(_set_approval_rule, Importance.ACCESS, step=""),
    "stop_model": Sentence(_stop_model, Importance.LIVE, stands_alone=True),
    "start_model": Sentence(_start_model, Importance.LIVE, stands_alone=True),
    "freeze_model": Sentence(_freeze_model, Importance.LIVE, stands_alone=True),
    "unfreeze_model": Sentence(_unfreeze_model, Importance.LIVE, stands_alone=True),
}
