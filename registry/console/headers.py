"""The headers of Model and version pages: what is live, in which state, and the buttons that change it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.urls import reverse

from registry.catalogue.models import Model, Version
from registry.catalogue.transitions import Status
from registry.kit.admin.columns import Tone
from registry.kit.admin.verbs import VerbButton, VerbGroup
from registry.kit.registrations import Registrations
from registry.traffic.models import Hold, SplitRequest
from registry.traffic.selectors import (
    current_split,
    has_waiting_split,
    live_arms,
    open_holds,
    open_requests,
    shadows_of,
    with_live_arms,
)

# Short facts for the summary of a Model, such as "12 requests per second"; "" to add nothing.
MODEL_FACTS: Registrations[Callable[[Model], str]] = Registrations("fact about a Model")


@dataclass(frozen=True, slots=True)
class State:
    """A word for the badge, and its tone."""

    word: str
    tone: Tone


STOPPED, FROZEN = State("stopped", Tone.BAD), State("frozen", Tone.BUSY)
WAITING, LIVE = State("waiting for warm-up", Tone.BUSY), State("live", Tone.GOOD)
NOTHING_LIVE = State("nothing live", Tone.IDLE)
_VERSION_TONES = {
    Status.UPLOADED: Tone.BUSY,
    Status.CHECKING: Tone.BUSY,
    Status.READY: Tone.GOOD,
    Status.FAILED: Tone.BAD,
    Status.ARCHIVED: Tone.IDLE,
}


def state_of(model: Model, *, is_waiting: bool) -> State:
    """The most important thing about a Model in one word; the banners and the split bar show the rest."""
    holds = open_holds(model)
    if Hold.Kind.STOPPED in holds:
        return STOPPED
    if Hold.Kind.FROZEN in holds:
        return FROZEN
    if is_waiting:
        return WAITING
    return LIVE if live_arms(model) else NOTHING_LIVE


def is_unfinished(version: Version) -> bool:
    """Whether the page opens with the checks: they run, or they failed."""
    return version.status in {Status.UPLOADED, Status.CHECKING, Status.FAILED}


def state_of_version(version: Version) -> State:
    if version.is_broken:
        return State("broken", Tone.BAD)
    return State(version.status, _VERSION_TONES[Status(version.status)])


@dataclass(frozen=True, slots=True)
class Buttons:
    """A header's buttons in groups; those of `more` are in a menu."""

    release: list[VerbButton]
    emergency: list[VerbButton]
    more: list[VerbButton]


def buttons_in_groups(buttons: Sequence[VerbButton]) -> Buttons:
    def of(group: VerbGroup) -> list[VerbButton]:
        return [button for button in buttons if button.group is group]

    return Buttons(of(VerbGroup.RELEASE), of(VerbGroup.EMERGENCY), of(VerbGroup.MORE))


def model_header(model: Model, buttons: Sequence[VerbButton]) -> dict[str, Any]:
    """The context of the header; the Model should come from `with_live_arms`."""
    is_waiting = has_waiting_split(model)
    return {
        "state": state_of(model, is_waiting=is_waiting),
        "is_changing": is_waiting,
        "arms": live_arms(model),
        "split": current_split(model),
        "open_requests": open_requests(model).count(),
        "facts": [text for fact in MODEL_FACTS if (text := fact(model))],
        "tags": [tag.name for tag in model.tags.all()],
        "verbs": buttons_in_groups(buttons),
    }


def with_live_model(version: Version) -> Version:
    """The version with its Model's live split and holds, so that each is queried once."""
    version.model = with_live_arms(Model.objects.filter(pk=version.model_id)).get()
    return version


def version_header(version: Version, buttons: Sequence[VerbButton]) -> dict[str, Any]:
    """The context of the header; the version should come from `with_live_model`."""
    split = current_split(version.model)
    requests = requests_for_version(version)
    verbs = buttons_in_groups(buttons)
    if requests and verbs.release:  # instead of asking again
        waiting = [VerbButton(*awaited(request), VerbGroup.RELEASE) for request, _ in requests]
        verbs = replace(verbs, release=waiting)
    return {
        "state": state_of_version(version),
        "split": split,
        "arms": live_arms(version.model),
        "live_share": _live_share(version),
        "shadow_share": shadows_of(split).get(version.number, 0) / 100 if split is not None else 0,
        "open_requests": requests,
        "verbs": verbs,
    }


def _live_share(version: Version) -> float:
    """Percent of the routing keys that it answers now."""
    return next((arm.percent for arm in live_arms(version.model) if arm.version == version.number), 0)


def requests_for_version(version: Version) -> list[tuple[SplitRequest, float]]:
    """The open requests that would give the version a share, and the share in percent."""
    found = [
        (request, request.arms.get(str(version.number), 0) / 100)
        for request in open_requests(version.model).select_related("model")
    ]
    return [(request, share) for request, share in found if share]


def awaited(request: SplitRequest) -> tuple[str, str]:
    """The title and address of a link to an open request."""
    return (
        f"Request {request.pk} awaits approval",
        reverse("admin:registry_splitrequest_change", args=[request.pk]),
    )
