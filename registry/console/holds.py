"""Stopping and freezing a Model: the verbs with their previews, and the banner that pages show while it lasts."""

from collections.abc import Callable
from dataclasses import dataclass

from django import forms
from django.db.models import Q
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from registry.access.models import ApiKey
from registry.access.policies import Right, rights_of_scopes
from registry.catalogue.models import Model, Version
from registry.console.splits import answers_text, shares_text
from registry.kit.actors import Actor
from registry.kit.admin.facts import ago
from registry.kit.admin.theme import TextInput, actor
from registry.kit.admin.verbs import ReasonForm, Verb, VerbGroup
from registry.kit.registrations import Registrations
from registry.kit.text import MAX_REASON
from registry.traffic import services as traffic
from registry.traffic.models import Hold
from registry.traffic.selectors import live_arms, open_holds, waiting_split

_STOPPED, _FROZEN = Hold.Kind.STOPPED, Hold.Kind.FROZEN
_WORST_FIRST = ("-kind", "-from_at")  # stopped before frozen

# Sentences for the preview of a stop, from the apps that know what it would interrupt.
STOP_PREVIEWS: Registrations[Callable[[Model], list[str]]] = Registrations("stop preview")


class StopForm(ReasonForm):
    is_destructive = True
    reason = forms.CharField(
        label="Message to callers",
        max_length=MAX_REASON,
        widget=TextInput(),
        help_text="Returned with every refused request, and kept in the audit record.",
    )

    @property
    def preview(self) -> list[str]:
        model, arms = self.row, live_arms(self.row)
        if not arms:
            answers = f"No version of {model.slug} is live."
        else:
            effect = {1: "it stops", 2: "both stop"}.get(len(arms), f"all {len(arms)} stop")
            answers = f"Now {answers_text(arms)}; {effect}."
        return [
            *(sentence for preview in STOP_PREVIEWS for sentence in preview(model)),
            answers,
            _preview_keys(model),
            "New jobs are refused. Accepted jobs continue on their version.",
            "It stays stopped until someone starts it. Splits, aliases and versions stay as they are.",
        ]


def _preview_keys(model: Model) -> str:
    reaching = Q(all_models=True) | Q(only_models=model.pk)
    valid = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    keys = ApiKey.objects.filter(reaching, valid, revoked_at=None).distinct().values_list("pk", "scopes")
    count = sum(Right.PREDICT in rights_of_scopes(frozenset(scopes)) for _, scopes in keys)
    if not count:
        return "No API key can call it."
    who = (
        "The one API key that may call it gets"
        if count == 1
        else f"All {count:,} API keys that may call it get"
    )
    return f"{who} 503 with your message within 2 seconds, for every version and alias."


class StartForm(ReasonForm):
    @property
    def preview(self) -> list[str]:
        arms, holds = live_arms(self.row), open_holds(self.row)
        if arms:
            effect = f"Within 2 seconds {answers_text(arms)} again."
        else:
            effect = "No version is live, so callers get no answer until a split is set."
        frozen = (
            ["It is frozen, and starting it would give versions live share: unfreeze it first."]
            if _FROZEN in holds
            else []
        )
        return [
            f"{_begun_text(self.row, _STOPPED)} Message to callers: {holds.get(_STOPPED, '')}",
            effect,
            *frozen,
        ]


class FreezeForm(ReasonForm):
    @property
    def preview(self) -> list[str]:
        arms, waiting = live_arms(self.row), waiting_split(self.row)
        if arms:
            text = answers_text(arms)
            preview = [f"{text[:1].upper()}{text[1:]}. No version can gain share."]
        else:
            preview = ["No version can become live."]
        if waiting is not None:
            becomes = "is a rollback, so it still becomes" if waiting.split.goes_back else "does not become"
            preview.append(
                f"Split {waiting.split.number} is waiting; it {becomes} current while the freeze lasts."
            )
        return [*preview, "Lowering shares, stopping and rolling back still work."]


class UnfreezeForm(ReasonForm):
    @property
    def preview(self) -> list[str]:
        waiting = waiting_split(self.row)
        is_held = waiting is not None and not waiting.split.goes_back
        freed = (
            [f"Split {waiting.split.number} is waiting and can become current."]
            if waiting and is_held
            else []
        )
        return [_begun_text(self.row, _FROZEN), "Versions can gain live share again.", *freed]


def _begun_text(model: Model, kind: Hold.Kind) -> str:
    hold = model.holds.filter(kind=kind, to_at=None).first()
    if hold is None:
        return f"{model.slug} is not {kind}."
    verb = "stopped" if kind == _STOPPED else "froze"
    return f"{hold.begun_by} {verb} it {ago(hold.from_at)}."


def _stop(model: Model, form: ReasonForm, by: Actor) -> str:
    traffic.stop_model(model=model, text=form.cleaned_data["reason"], by=by)
    return f"{model} is stopped. Within 2 seconds, every process refuses its requests."


def _start(model: Model, form: ReasonForm, by: Actor) -> str:
    traffic.start_model(model=model, reason=form.cleaned_data["reason"], by=by)
    return f"{model} is started and answers again."


def _freeze(model: Model, form: ReasonForm, by: Actor) -> str:
    traffic.freeze_model(model=model, reason=form.cleaned_data["reason"], by=by)
    return f"{model} is frozen: no version can gain live share."


def _unfreeze(model: Model, form: ReasonForm, by: Actor) -> str:
    traffic.unfreeze_model(model=model, reason=form.cleaned_data["reason"], by=by)
    return f"{model} is no longer frozen."


def _is_held(kind: Hold.Kind) -> Callable[[Model], bool]:
    return lambda model: kind in open_holds(model)


def _is_free(kind: Hold.Kind) -> Callable[[Model], bool]:
    return lambda model: kind not in open_holds(model)


_IN = VerbGroup.EMERGENCY
_START = Verb("start", "Start", Right.SET_SPLIT, StartForm, _start, _is_held(_STOPPED), group=_IN)
_UNFREEZE = Verb("unfreeze", "Unfreeze", Right.FREEZE, UnfreezeForm, _unfreeze, _is_held(_FROZEN), group=_IN)
HOLD_VERBS = (
    Verb("stop", "Stop", Right.STOP, StopForm, _stop, _is_free(_STOPPED), group=_IN),
    _START,
    Verb("freeze", "Freeze", Right.FREEZE, FreezeForm, _freeze, _is_free(_FROZEN), group=_IN),
    _UNFREEZE,
)
ENDED_BY = {_STOPPED: _START, _FROZEN: _UNFREEZE}


@dataclass(frozen=True, slots=True)
class HoldBanner:
    """One open hold. `address` is the page of the verb that ends it; empty if the reader may not end it."""

    hold: Hold
    model: Model
    effects: list[str]
    button: str
    address: str

    @property
    def is_stop(self) -> bool:
        return self.hold.kind == _STOPPED


def draw_row_holds(request: HttpRequest, row: Model | Version) -> SafeString | str:
    """The banners of a Model, on its page and on those of its versions."""
    model = row.model if isinstance(row, Version) else row
    holds = model.holds.filter(to_at=None).order_by(*_WORST_FIRST)
    return _draw(request, [_banner(hold, model, actor(request)) for hold in holds])


def _draw(request: HttpRequest, banners: list[HoldBanner]) -> SafeString | str:
    if not banners:
        return ""
    return render_to_string("admin/registry/hold_banners.html", {"banners": banners}, request)


def _banner(hold: Hold, model: Model, by: Actor) -> HoldBanner:
    kind = Hold.Kind(hold.kind)
    verb = ENDED_BY[kind]
    may_end = by.may(verb.right, model_id=model.pk)
    return HoldBanner(
        hold=hold,
        model=model,
        effects=_effects(model, kind),
        button=f"{verb.title} {model.slug}",
        address=reverse(f"admin:registry_model_{verb.name}", args=[model.pk]) if may_end else "",
    )


def _effects(model: Model, kind: Hold.Kind) -> list[str]:
    arms = live_arms(model)
    if kind == _FROZEN:
        answers = f"It answers as before: {shares_text(arms)}." if arms else "No version is live."
        return [
            f"{answers} Lowering shares, stopping and rolling back still work.",
            "No version can gain live share: no promotion, no start, no reshuffle.",
        ]
    after = (
        f"Once it is started, {answers_text(arms)}."
        if arms
        else "Set a split before you start it: no version is live."
    )
    unfreeze = " Unfreeze it first." if _FROZEN in open_holds(model) else ""
    return [
        "Every request gets 503 with this message, for every version and alias. You can still set splits and roll back.",
        f"{after}{unfreeze}",
    ]
