"""Pages in tabs. Each tab has an address of its own, such as `?tab=versions`, and only the open tab is drawn."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from registry.kit.admin.pages import FormView, RowPage
from registry.kit.admin.panels import PanelPage, panels_for, panels_on
from registry.kit.registrations import Registrations


@dataclass(frozen=True, slots=True)
class Tab:
    """One tab. It is shown if it has a panel that the reader may see, or the page's form."""

    page: PanelPage
    name: str
    title: str
    # Query parameters of its panels. An address with one of them and without `tab` opens it.
    opened_by: tuple[str, ...] = ()
    # Rows whose page opens with it, instead of with the first tab.
    opens_for: Callable[[Any], bool] = lambda _row: False
    refresh_s: int = 0  # how often the open page fetches itself again; 0: never


TABS: Registrations[Tab] = Registrations("tab")


def tabs_for(page: PanelPage, request: HttpRequest, *, form_tab: str = "") -> list[Tab]:
    """The page's tabs in order, without those on which the reader would see nothing; at least one."""
    tabs = [tab for tab in TABS if tab.page is page]
    filled = {panel.tab or tabs[0].name for _, panel in panels_on(page, request)}
    return [tab for tab in tabs if tab.name in filled or tab.name == form_tab] or tabs[:1]


def open_tab(tabs: list[Tab], request: HttpRequest, row: Any) -> Tab:
    """The tab that the address names or implies; otherwise the one that suits the row."""
    asked = request.GET.get("tab", "")
    named = [tab for tab in tabs if tab.name == asked]
    implied = [tab for tab in tabs if any(name in request.GET for name in tab.opened_by)]
    suited = [tab for tab in tabs if tab.opens_for(row)]
    return [*named, *implied, *suited, *tabs][0]


class TabbedPage(RowPage):
    """A row's page with a header and tabs. Django's form, if the page has one, is on `form_tab`."""

    panel_page: ClassVar[PanelPage]
    header_template: ClassVar[str]
    form_tab: ClassVar[str] = ""

    def header(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return the context of the header's template, which is on every tab."""
        raise NotImplementedError

    @property
    def has_form(self) -> bool:
        return bool(self.form_tab)

    def show_row(
        self, request: HttpRequest, row: Any, context: dict[str, Any], form_view: FormView
    ) -> HttpResponse:
        tabs = tabs_for(self.panel_page, request, form_tab=self.form_tab)
        is_sent = request.method == "POST"
        opened = next((tab for tab in tabs if is_sent and tab.name == self.form_tab), None)
        opened = opened or open_tab(tabs, request, row)
        own = {
            **self.header(request, row),
            "title": str(row),
            "subtitle": "",
            "row": row,
            "tabs": tabs,
            "opened": opened,
            "panels": self._panels(request, row, opened),
            "header_template": self.header_template,
        }
        if opened.name == self.form_tab:
            return form_view(own)
        return TemplateResponse(
            request, "admin/registry/tabbed_page.html", {**context, **own, "show_back_button": False}
        )

    def _panels(self, request: HttpRequest, row: Any, opened: Tab) -> list[Any]:
        first = next(tab for tab in TABS if tab.page is self.panel_page)
        names = {opened.name, ""} if opened == first else {opened.name}
        return panels_for(self.panel_page, request, row, tabs=names)
