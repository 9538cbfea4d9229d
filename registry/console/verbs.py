"""What can be done from a Model's or version's page: each verb is a form and a service."""

from collections.abc import Callable

from django.urls import reverse
from django.utils.html import format_html

from registry.access.policies import Right
from registry.catalogue import services as catalogue
from registry.catalogue.models import Model, Version
from registry.catalogue.transitions import ALLOWED, Status
from registry.console.forms import (
    AgainstLiveForm,
    ArchiveForm,
    ClearForm,
    FreezeForm,
    ReshuffleForm,
    RollBackForm,
    SplitForm,
    StartForm,
    StopForm,
    UnarchiveForm,
    UnfreezeForm,
    newcomer,
)
from registry.console.serving_forms import ServingForm
from registry.kit.actors import Actor
from registry.kit.admin.verbs import ReasonForm, Verb
from registry.traffic import services as traffic
from registry.traffic.models import Hold, Split, SplitRequest
from registry.traffic.selectors import current_split, open_holds, previous_split, waiting_for


def _set_split(_row: Model | Version, form: SplitForm, by: Actor) -> str:
    written = traffic.set_or_ask(
        model=form.row,
        arms=form.arms,
        shadows=form.shadows,
        reason=form.cleaned_data["reason"],
        expected_revision=form.cleaned_data["seen"],
        by=by,
    )
    if isinstance(written, SplitRequest):
        page = reverse("admin:registry_splitrequest_change", args=[written.pk])
        return format_html(
            'Asked for, as <a href="{}" class="underline">{}</a>: somebody else has to approve it.',
            page,
            written,
        )
    return told_split(written)


def _roll_back(model: Model, form: RollBackForm, by: Actor) -> str:
    split = traffic.roll_back(
        model=model,
        **form.goal,
        reason=form.cleaned_data["reason"],
        expected_revision=form.cleaned_data["seen"],
        by=by,
    )
    return told_split(split)


def told_split(split: Split) -> str:
    """What became of a split that was just written."""
    waiting = waiting_for(split)
    return f"{split} is {waiting.summary if waiting is not None else split.status}."


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


def _clear(version: Version, form: ReasonForm, by: Actor) -> str:
    catalogue.clear_crashes(version=version, reason=form.cleaned_data["reason"], by=by)
    return f"{version} is cleared: it runs like any other."


def _change_serving(version: Version, form: ServingForm, by: Actor) -> str:
    changed = catalogue.change_serving(
        version=version,
        changes=form.changes,
        reason=form.cleaned_data["reason"],
        expected_revision=form.cleaned_data["seen"],
        by=by,
    )
    return f"{version} is served by revision {changed.revision} of its settings."


def _is_held(kind: Hold.Kind) -> Callable[[Model], bool]:
    return lambda model: kind in open_holds(model)


def _is_free(kind: Hold.Kind) -> Callable[[Model], bool]:
    return lambda model: kind not in open_holds(model)


def _may_become(status: Status) -> Callable[[Version], bool]:
    return lambda version: status in ALLOWED[Status(version.status)]


def _why_no_newcomer(model: Model) -> str:
    if newcomer(model) is not None:
        return ""
    return f"No ready version of {model} is newer than those that answer; upload one, or set the split."


def _why_no_challenge(version: Version) -> str:
    split = current_split(version.model)
    if not version.is_servable:
        because = f": {version.failure}" if version.failure else "."
        return f"{version} cannot get a share, because only a ready version can and it is {version.status}{because}"
    if split is None:
        return f"No version of {version.model} is live, so there is none to compare it with. Set the split first."
    if version.pk in split.shares():
        return f"{version} is live already. Set the split to change its share."
    return ""


_STOPPED, _FROZEN = Hold.Kind.STOPPED, Hold.Kind.FROZEN

MODEL_VERBS = (
    Verb("split", "Set the split", Right.LOWER, SplitForm, _set_split, lambda _: True),
    Verb("a-b", "A/B the newest", Right.LOWER, AgainstLiveForm, _set_split,
         lambda model: not _why_no_newcomer(model), why_not=_why_no_newcomer),
    Verb("roll-back", "Roll back", Right.ROLL_BACK, RollBackForm, _roll_back,
         lambda model: previous_split(model) is not None),
    Verb("stop", "Stop", Right.STOP, StopForm, _stop, _is_free(_STOPPED)),
    Verb("start", "Start", Right.SET_SPLIT, StartForm, _start, _is_held(_STOPPED)),
    Verb("freeze", "Freeze", Right.FREEZE, FreezeForm, _freeze, _is_free(_FROZEN)),
    Verb("unfreeze", "Unfreeze", Right.FREEZE, UnfreezeForm, _unfreeze, _is_held(_FROZEN)),
    Verb("reshuffle", "Reshuffle", Right.SET_SPLIT, ReshuffleForm, _reshuffle, _is_free(_FROZEN)),
)  # fmt: skip
VERSION_VERBS = (
    Verb("a-b", "A/B with live", Right.LOWER, AgainstLiveForm, _set_split,
         lambda version: not _why_no_challenge(version), why_not=_why_no_challenge),
    Verb("serving", "Change serving", Right.WRITE, ServingForm, _change_serving, lambda _: True),
    Verb("clear", "Clear", Right.SET_SPLIT, ClearForm, _clear, lambda version: version.has_crashed),
    Verb("archive", "Archive", Right.WRITE, ArchiveForm, _archive, _may_become(Status.ARCHIVED)),
    Verb("unarchive", "Bring back", Right.WRITE, UnarchiveForm, _unarchive,
         lambda version: version.status == Status.ARCHIVED),
)  # fmt: skip
