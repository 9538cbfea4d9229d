"""Links from what was recorded about a row to the row's page."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse


class RowLinks:
    """The pages of rows, by the table's name and the row's id. Without the right to open a page, there is no link."""

    def __init__(self, request: HttpRequest) -> None:
        self._tables = {
            table._meta.model_name: table._meta
            for table, page in admin.site._registry.items()
            if page.has_view_permission(request)
        }

    def url(self, kind: str, row_id: Any) -> str:
        """The address of the row's page; "" if there is none, or the viewer may not open it."""
        table = self._tables.get(kind)
        if table is None or row_id in (None, ""):
            return ""
        return reverse(f"admin:{table.app_label}_{kind}_change", args=[row_id])
