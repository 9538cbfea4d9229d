"""Panels and columns: what apps above show on the registry's pages, without the registry importing them."""

from collections.abc import Callable, Mapping, Sequence
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
# Gets the request and the Models of a page at once; returns by Model id one rendered cell for each title.
Cells = Callable[[HttpRequest, Sequence[Any]], Mapping[int, Sequence[SafeString | str]]]


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


@dataclass(frozen=True, slots=True)
class Columns:
    """Cells that belong together in the home page's table of Models."""

    titles: Sequence[str]
    cells: Cells
    note: str


_panels: dict[tuple[Place, str], Panel] = {}
_columns: dict[str, Columns] = {}


def register_panel(*, name: str, place: Place, render: Render, order: int = 100) -> None:
    """Show a panel on every page of that place; registering a name again replaces the panel."""
    _panels[place, name] = Panel(name, place, render, order)


def register_columns(*, name: str, titles: Sequence[str], cells: Cells, note: str = "") -> None:
    """Add columns to the home page's table of Models, and a note below it; a name registered again replaces them."""
    _columns[name] = Columns(titles, cells, note)


def panels_for(place: Place, request: HttpRequest, row: Any = None) -> list[SafeString | str]:
    """Draw the panels of a page in their order. One that fails says so, and the page stands."""
    wanted = sorted((panel for panel in _panels.values() if panel.place is place), key=lambda one: one.order)
    drawn = [_draw(panel, request, row) for panel in wanted]
    return [html for html in drawn if html]


@dataclass(frozen=True, slots=True)
class Drawn:
    """What the columns added, all together: by Model id (title, cell) in their order."""

    titles: list[str]
    cells: dict[int, list[tuple[str, SafeString | str]]]
    notes: list[str]


def columns_for(request: HttpRequest, models: Sequence[Any]) -> Drawn:
    """Draw the columns for the Models of a page. Those that fail are left out, and the page stands."""
    drawn = Drawn([], {model.pk: [] for model in models}, [])
    for name, columns in _columns.items():
        try:
            found = columns.cells(request, models)
        except Exception as error:
            log.error("columns failed", columns=name, exc_info=error)
            continue
        drawn.titles.extend(columns.titles)
        drawn.notes.extend([columns.note] if columns.note else [])
        for model_id, own in drawn.cells.items():
            cells = found.get(model_id, [""] * len(columns.titles))
            own.extend(zip(columns.titles, cells, strict=True))
    return drawn


def _draw(panel: Panel, request: HttpRequest, row: Any) -> SafeString | str:
    try:
        return panel.render(request, row)
    except Exception as error:
        log.error("panel failed", panel=panel.name, exc_info=error)
        return render_to_string("admin/registry/failed_panel.html", {"name": panel.name})
