"""Pages in tabs. Each tab has an address of its own, such as `?tab=versions`, and only the open tab is drawn."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse

from registry.kit.admin.pages import ScopedPage
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


class TabbedPage(ScopedPage):
    """A row's page with a header and tabs. Django's form, if the page has one, is on `form_tab`."""

    panel_page: ClassVar[PanelPage]
    header_template: ClassVar[str]
    form_tab: ClassVar[str] = ""

    def header(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return the context of the header's template, which is on every tab."""
        raise NotImplementedError

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        page: Any = self
        row = page.get_object(request, object_id)
        if row is None:
            missing: HttpResponse = super().change_view(  # type: ignore[misc]
                request, object_id, form_url, extra_context
            )
            return missing
        if request.method not in {"GET", "HEAD"} and not self.form_tab:
            return HttpResponseNotAllowed(["GET"])
        tabs = tabs_for(self.panel_page, request, form_tab=self.form_tab)
        is_sent = request.method == "POST"
        opened = next((tab for tab in tabs if is_sent and tab.name == self.form_tab), None)
        opened = opened or open_tab(tabs, request, row)
        context = {
            **(extra_context or {}),
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
            response: HttpResponse = super().change_view(  # type: ignore[misc]
                request, object_id, form_url, context
            )
            return response
        own = {"opts": page.opts, "original": row, "has_view_permission": True, "show_back_button": False}
        return TemplateResponse(
            request,
            "admin/registry/tabbed_page.html",
            {**page.admin_site.each_context(request), **own, **context},
        )

    def _panels(self, request: HttpRequest, row: Any, opened: Tab) -> list[Any]:
        first = next(tab for tab in TABS if tab.page is self.panel_page)
        names = {opened.name, ""} if opened == first else {opened.name}
        return panels_for(self.panel_page, request, row, tabs=names)
