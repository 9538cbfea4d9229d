"""Panels and columns that apps add to the home page and to the pages of Models and versions."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import structlog
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from registry.kit.actors import READ
from registry.kit.admin.theme import actor
from registry.kit.registrations import Registrations

log = structlog.get_logger("roundhouse.console")

# Takes the request and the page's row (None on the home page); returns HTML, or "" to show nothing.
Render = Callable[[HttpRequest, Any], SafeString | str]
# Takes the request and all Models on a page; returns one rendered cell per title for each Model id.
Cells = Callable[[HttpRequest, Sequence[Any]], Mapping[int, Sequence[SafeString | str]]]


class PanelPage(StrEnum):
    """The pages that have panels."""

    HOME = "home"
    MODEL = "model"
    VERSION = "version"
    REQUEST = "request"
    POLICY = "policy"


@dataclass(frozen=True, slots=True)
class Panel:
    """A part of a page. On a page with tabs it is drawn on one of them: by default, on the first.

    People without the right do not see it.
    """

    page: PanelPage
    render: Render
    tab: str = ""
    right: str = READ


@dataclass(frozen=True, slots=True)
class ColumnGroup:
    """Columns of the home page's table of Models, and a note below the table."""

    titles: Sequence[str]
    cells: Cells
    note: str = ""
    numbers: Collection[str] = ()  # the titles of columns that hold numbers


@dataclass(frozen=True, slots=True)
class DrawnColumns:
    """All registered columns: titles and notes in order, which hold numbers, and the (title, cell) pairs of each Model id."""

    titles: list[str]
    cells: dict[int, list[tuple[str, SafeString | str]]]
    notes: list[str]
    numbers: set[str]


PANELS: Registrations[Panel] = Registrations("panel")
COLUMNS: Registrations[ColumnGroup] = Registrations("group of columns")


def panels_on(page: PanelPage, request: HttpRequest) -> list[tuple[str, Panel]]:
    """The page's panels that the reader may see, in order, with their names."""
    rights = actor(request).rights
    return [(name, panel) for name, panel in PANELS.items() if panel.page is page and panel.right in rights]


def panels_for(
    page: PanelPage, request: HttpRequest, row: Any = None, *, tabs: Collection[str] | None = None
) -> list[SafeString | str]:
    """Draw the page's panels, or only those of these tabs. A panel that fails shows an error; the page still works."""
    drawn = [
        _draw(name, panel, request, row)
        for name, panel in panels_on(page, request)
        if tabs is None or panel.tab in tabs
    ]
    return [html for html in drawn if html]


def columns_for(request: HttpRequest, models: Sequence[Any]) -> DrawnColumns:
    """Draw the columns for a page of Models. Columns that fail are left out; the page still works."""
    drawn = DrawnColumns([], {model.pk: [] for model in models}, [], set())
    for name, group in COLUMNS.items():
        try:
            cells_by_model = group.cells(request, models)
        except Exception as error:
            log.error("columns failed", columns=name, exc_info=error)
            continue
        drawn.titles.extend(group.titles)
        drawn.numbers.update(group.numbers)
        drawn.notes.extend([group.note] if group.note else [])
        for model_id, row in drawn.cells.items():
            cells = cells_by_model.get(model_id, [""] * len(group.titles))
            row.extend(zip(group.titles, cells, strict=True))
    return drawn


def _draw(name: str, panel: Panel, request: HttpRequest, row: Any) -> SafeString | str:
    try:
        return panel.render(request, row)
    except Exception as error:
        log.error("panel failed", panel=name, exc_info=error)
        return render_to_string("admin/registry/failed_panel.html", {"name": name})
