"""Panels: what apps above show on the registry's pages, without the registry importing them."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import structlog
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

log = structlog.get_logger("roundhouse.console")

# Gets the request and the page's row (None on the home page); returns rendered HTML, or "" to show nothing.
Render = Callable[[HttpRequest, Any], SafeString | str]


class Place(StrEnum):
    HOME = "home"
    MODEL = "model"
    VERSION = "version"


@dataclass(frozen=True, slots=True)
class Panel:
    name: str
    place: Place
    render: Render
    order: int


_panels: dict[tuple[Place, str], Panel] = {}


def register_panel(*, name: str, place: Place, render: Render, order: int = 100) -> None:
    """Show a panel on every page of that place; registering a name again replaces the panel."""
    _panels[place, name] = Panel(name, place, render, order)


def panels_for(place: Place, request: HttpRequest, row: Any = None) -> list[SafeString | str]:
    """Draw the panels of a page in their order. One that fails says so, and the page stands."""
    wanted = sorted((panel for panel in _panels.values() if panel.place is place), key=lambda one: one.order)
    drawn = [_draw(panel, request, row) for panel in wanted]
    return [html for html in drawn if html]


def _draw(panel: Panel, request: HttpRequest, row: Any) -> SafeString | str:
    try:
        return panel.render(request, row)
    except Exception as error:
        log.error("panel failed", panel=panel.name, exc_info=error)
        return render_to_string("admin/registry/failed_panel.html", {"name": panel.name})
