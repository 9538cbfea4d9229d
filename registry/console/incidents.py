"""What holds a Model back, where nobody can miss it: on its page, on those of its versions, and on the home page."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Exists, OuterRef
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString

from registry.access.policies import Right
from registry.access.selectors import visible_models
from registry.catalogue.models import Model, Version
from registry.console.foretelling import shares_of
from registry.record.actors import Actor
from registry.traffic.models import Hold
from registry.traffic.selectors import live_arms, with_live_arms

_SHOWN_AT_HOME = 6


@dataclass(frozen=True, slots=True)
class Ending:
    """The verb that ends a hold: its name, its title, who may."""

    name: str
    title: str
    right: Right


_ENDINGS = {
    Hold.Kind.STOPPED: Ending("start", "Start", Right.SET_SPLIT),
    Hold.Kind.FROZEN: Ending("unfreeze", "Unfreeze", Right.FREEZE),
}


@dataclass(frozen=True, slots=True)
class Incident:
    """One hold in force. `address` is the page of the verb that ends it; empty where the reader may not."""

    hold: Hold
    model: Model
    meanwhile: list[str]
    ending: Ending
    address: str

    @property
    def is_stop(self) -> bool:
        return self.hold.kind == Hold.Kind.STOPPED


def draw_for_row(request: HttpRequest, row: Model | Version) -> SafeString | str:
    """On the page of a Model or of one of its versions; nothing where nothing holds it back."""
    model = row.model if isinstance(row, Version) else row
    return _draw(request, _incidents_of(model, list(model.holds.filter(to_at=None)), _reader(request)))


def draw_for_home(request: HttpRequest, _row: object = None) -> SafeString | str:
    """All Models that the reader sees: the stopped ones first, each time the newest first."""
    by = _reader(request)
    holds = Hold.objects.filter(to_at=None, model=OuterRef("pk"))
    models = with_live_arms(visible_models(Model.objects.filter(Exists(holds)), by))
    found = [one for model in models for one in _incidents_of(model, model.open_holds, by)]  # type: ignore[attr-defined]
    found.sort(key=lambda one: (one.is_stop, one.hold.from_at), reverse=True)
    return _draw(request, found[:_SHOWN_AT_HOME], more=len(found[_SHOWN_AT_HOME:]), is_home=True)


def _reader(request: HttpRequest) -> Actor:
    by: Actor = request.actor  # type: ignore[attr-defined]  # the theme, whose function says this, loads what loads us
    return by


def _draw(request: HttpRequest, found: list[Incident], **more: object) -> SafeString | str:
    if not found:
        return ""
    return render_to_string("admin/registry/incidents.html", {"incidents": found, **more}, request)


def _incidents_of(model: Model, holds: Iterable[Hold], by: Actor) -> list[Incident]:
    held = {Hold.Kind(hold.kind): hold for hold in holds}
    return [
        Incident(
            hold=hold,
            model=model,
            meanwhile=_meanwhile(model, kind, is_frozen=Hold.Kind.FROZEN in held),
            ending=_ENDINGS[kind],
            address=_address(model, _ENDINGS[kind], by),
        )
        for kind, hold in sorted(held.items(), reverse=True)  # stopped before frozen
    ]


def _meanwhile(model: Model, kind: Hold.Kind, *, is_frozen: bool) -> list[str]:
    arms = live_arms(model)
    if kind == Hold.Kind.FROZEN:
        answering = f"It answers as before: {shares_of(arms)}." if arms else "No version is live."
        return [
            f"{answering} Lowering, stopping and rolling back work.",
            "Nothing may gain live share: no promotion, no start, no reshuffle.",
        ]
    waits = (
        f"Once it is started: {shares_of(arms)}."
        if arms
        else "No version is live; set a split before it is started."
    )
    return [
        "Every request gets 503 with this text, also for a version or an alias. Splits can be set and rolled back meanwhile.",
        f"{waits} Unfreeze it first." if is_frozen else waits,
    ]


def _address(model: Model, ending: Ending, by: Actor) -> str:
    if not by.may(ending.right, model_id=model.pk):
        return ""
    return reverse(f"admin:registry_model_{ending.name}", args=[model.pk])
