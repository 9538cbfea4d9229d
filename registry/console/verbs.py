"""What can be done from a Model's or version's page: each verb is a form and a service."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from registry.access.policies import Right
from registry.catalogue import services as catalogue
from registry.catalogue.models import Model, Version
from registry.catalogue.transitions import ALLOWED, Status
from registry.console.forms import ReasonForm, SplitForm, StopForm
from registry.record.actors import Actor
from registry.traffic import services as traffic
from registry.traffic.models import Hold, Split
from registry.traffic.selectors import open_holds, waiting_for


@dataclass(frozen=True, slots=True)
class Verb:
    """`fits` says whether the row's state allows it; the service decides again."""

    name: str
    title: str
    right: Right
    form: type[ReasonForm]
    run: Callable[[Any, Any, Actor], str]  # row, valid form, actor -> what to tell
    fits: Callable[[Any], bool]
    warning: str = ""


def _set_split(model: Model, form: SplitForm, by: Actor) -> str:
    split = traffic.set_split(
        model=model,
        arms=form.arms,
        reason=form.cleaned_data["reason"],
        expected_revision=form.cleaned_data["seen"],
        by=by,
    )
    return _said(split)


def _roll_back(model: Model, form: ReasonForm, by: Actor) -> str:
    split = traffic.roll_back(model=model, reason=form.cleaned_data["reason"], by=by)
    return _said(split)


def _said(split: Split) -> str:
    waiting = waiting_for(split)
    return f"{split} is {waiting.told if waiting is not None else split.status}."


def _reshuffle(model: Model, form: ReasonForm, by: Actor) -> str:
    traffic.reshuffle(model=model, reason=form.cleaned_data["reason"], by=by)
    return f"Every routing key of {model} was dealt a new bucket."


def _stop(model: Model, form: ReasonForm, by: Actor) -> str:
    traffic.stop_model(model=model, text=form.cleaned_data["reason"], by=by)
    return f"{model} is stopped; every process refuses it within 2 seconds."


def _start(model: Model, form: ReasonForm, by: Actor) -> str:
    traffic.start_model(model=model, reason=form.cleaned_data["reason"], by=by)
    return f"{model} answers again."


def _freeze(model: Model, form: ReasonForm, by: Actor) -> str:
    traffic.freeze_model(model=model, reason=form.cleaned_data["reason"], by=by)
    return f"{model} is frozen: nothing may gain live share."


def _unfreeze(model: Model, form: ReasonForm, by: Actor) -> str:
    traffic.unfreeze_model(model=model, reason=form.cleaned_data["reason"], by=by)
    return f"{model} is no longer frozen."


def _archive(version: Version, form: ReasonForm, by: Actor) -> str:
    catalogue.archive_version(version=version, reason=form.cleaned_data["reason"], by=by)
    return f"{version} is archived."


def _unarchive(version: Version, form: ReasonForm, by: Actor) -> str:
    catalogue.unarchive_version(version=version, reason=form.cleaned_data["reason"], by=by)
    return f"{version} is back."


def _is_held(kind: Hold.Kind) -> Callable[[Model], bool]:
    return lambda model: kind in open_holds(model)


def _is_free(kind: Hold.Kind) -> Callable[[Model], bool]:
    return lambda model: kind not in open_holds(model)


def _may_become(status: Status) -> Callable[[Version], bool]:
    return lambda version: status in ALLOWED[Status(version.status)]


_STOPPED, _FROZEN = Hold.Kind.STOPPED, Hold.Kind.FROZEN

MODEL_VERBS = (
    Verb("split", "Set the split", Right.LOWER, SplitForm, _set_split, lambda _: True),
    Verb("roll-back", "Roll back", Right.ROLL_BACK, ReasonForm, _roll_back, lambda model: model.split_revision > 1,
         "The shares of the split before the current one are set again."),
    Verb("stop", "Stop", Right.STOP, StopForm, _stop, _is_free(_STOPPED),
         "The Model answers nobody until it is started again."),
    Verb("start", "Start", Right.SET_SPLIT, ReasonForm, _start, _is_held(_STOPPED)),
    Verb("freeze", "Freeze", Right.FREEZE, ReasonForm, _freeze, _is_free(_FROZEN),
         "Nothing may gain live share. Lowering, stopping and rolling back still work."),
    Verb("unfreeze", "Unfreeze", Right.FREEZE, ReasonForm, _unfreeze, _is_held(_FROZEN)),
    Verb("reshuffle", "Reshuffle", Right.SET_SPLIT, ReasonForm, _reshuffle, _is_free(_FROZEN),
         "Every routing key is dealt a new bucket: most callers of an A/B test change sides."),
)  # fmt: skip
VERSION_VERBS = (
    Verb("archive", "Archive", Right.WRITE, ReasonForm, _archive, _may_become(Status.ARCHIVED)),
    Verb("unarchive", "Bring back", Right.WRITE, ReasonForm, _unarchive,
         lambda version: version.status == Status.ARCHIVED),
)  # fmt: skip
