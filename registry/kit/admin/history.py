"""The History page of a row. Lower rooms know no records, so an app registers what the page shows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Model as Row
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString

from registry.kit.registrations import Registrations


@dataclass(frozen=True, slots=True)
class RowHistory:
    """Whether anything is known about a row, and how it is shown."""

    exists: Callable[[Row], bool]
    draw: Callable[[HttpRequest, Row], SafeString]


HISTORIES: Registrations[RowHistory] = Registrations("history")


def has_history(row: Row) -> bool:
    return any(history.exists(row) for history in HISTORIES)


class HistoryPage:
    """Replaces Django's log on a row's History page, and hides the button if the row has no history."""

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        page: Any = self
        row = page.get_object(request, unquote(object_id))
        if row is None:
            missing: HttpResponse = page._get_obj_does_not_exist_redirect(request, page.opts, object_id)
            return missing
        if not page.has_view_permission(request, row):
            raise PermissionDenied
        context = {
            **page.admin_site.each_context(request),
            "opts": page.opts,
            "original": row,
            "title": f"History of {row}",
            "histories": [history.draw(request, row) for history in HISTORIES],
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/registry/row_history.html", context)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        row = kwargs.get("obj")
        context["show_history"] = row is not None and has_history(row)
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)  # type: ignore[misc]
        return response
