"""What holds a Model back, where nobody can miss it: on its page, on those of its versions, and on the home page."""

from dataclasses import dataclass

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString

from registry.access.policies import Right
from registry.catalogue.models import Model, Version
from registry.console.previews import shares_of
from registry.kit.actors import Actor, in_scope
from registry.traffic.models import Hold
from registry.traffic.selectors import live_arms, open_holds, with_live_arms

_SHOWN_AT_HOME = 6
_WORST_FIRST = ("-kind", "-from_at")  # stopped before frozen


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
    holds = model.holds.filter(to_at=None).order_by(*_WORST_FIRST)
    return _draw(request, [_incident(hold, model, _reader(request)) for hold in holds])


def draw_for_home(request: HttpRequest, _row: object = None) -> SafeString | str:
    """What holds the Models back that the reader sees."""
    by = _reader(request)
    holds = in_scope(Hold.objects.filter(to_at=None), by)
    shown = list(holds.order_by(*_WORST_FIRST)[:_SHOWN_AT_HOME])
    if not shown:
        return ""
    models = with_live_arms(Model.objects.filter(pk__in=[hold.model_id for hold in shown])).in_bulk()
    found = [_incident(hold, models[hold.model_id], by) for hold in shown]
    more = holds.count() - len(shown) if len(shown) == _SHOWN_AT_HOME else 0
    return _draw(request, found, more=more, is_home=True)


def _reader(request: HttpRequest) -> Actor:
    by: Actor = request.actor  # type: ignore[attr-defined]  # the theme, whose function says this, loads what loads us
    return by


def _draw(request: HttpRequest, found: list[Incident], **more: object) -> SafeString | str:
    if not found:
        return ""
    return render_to_string("admin/registry/incidents.html", {"incidents": found, **more}, request)


def _incident(hold: Hold, model: Model, by: Actor) -> Incident:
    kind = Hold.Kind(hold.kind)
    return Incident(
        hold=hold,
        model=model,
        meanwhile=_meanwhile(model, kind),
        ending=_ENDINGS[kind],
        address=_address(model, _ENDINGS[kind], by),
    )


def _meanwhile(model: Model, kind: Hold.Kind) -> list[str]:
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
        f"{waits} Unfreeze it first." if Hold.Kind.FROZEN in open_holds(model) else waits,
    ]


def _address(model: Model, ending: Ending, by: Actor) -> str:
    if not by.may(ending.right, model_id=model.pk):
        return ""
    return reverse(f"admin:registry_model_{ending.name}", args=[model.pk])
