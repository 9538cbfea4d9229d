"""Lists: pages by cursor, and filters that refuse unknown parameters."""

from typing import Any

from django.core.exceptions import ValidationError as BadValue
from django.db import DataError
from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param

from registry.errors import BadPageSize


class CursorPages(CursorPagination):
    """`{"next", "previous", "results"}`: stable while rows are added, and without a total count.

    A view set's `paging_order` names an indexed, unique column.
    """

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200
    ordering = "-pk"

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: Any) -> tuple[str, ...]:
        return (getattr(view, "paging_order", self.ordering),)

    def get_page_size(self, request: Request) -> int:
        """Return `page_size`, up to the maximum. DRF itself ignores values that are not numbers."""
        text = request.query_params.get(self.page_size_query_param)
        if text is None:
            return self.page_size
        if not (text.isascii() and text.isdigit() and text.strip("0")):
            raise BadPageSize(
                f"`page_size` is {text[:40]!r}; send a whole number, 1 or more. "
                f"A page has at most {self.max_page_size} rows."
            )
        return min(int(text.lstrip("0")[:9]), self.max_page_size)

    def decode_cursor(self, request: Request) -> Any:
        """Accept only our own cursors: DRF reads what it can of a bad one, and may silently start at the first page."""
        cursor = super().decode_cursor(request)
        if cursor is not None:
            text = request.query_params[self.cursor_query_param]
            if self.encode_cursor(cursor) != replace_query_param(
                request.build_absolute_uri(), self.cursor_query_param, text
            ):
                raise NotFound(self.invalid_cursor_message)
        return cursor

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any] | None:
        try:
            return super().paginate_queryset(queryset, request, view)
        except (ValueError, BadValue, DataError, OverflowError):
            # The cursor can be decoded, but its value does not fit the column: it is forged.
            raise NotFound(self.invalid_cursor_message) from None


class StrictFilters(DjangoFilterBackend):  # type: ignore[misc]  # the package has no type hints
    """Refuse unknown parameters: a misspelt filter must not return everything."""

    _PAGING = frozenset({CursorPages.cursor_query_param, CursorPages.page_size_query_param})

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        filterset_class = self.get_filterset_class(view, queryset)
        known = set(filterset_class.base_filters) if filterset_class else set()
        unknown = sorted(set(request.query_params) - known - self._PAGING)
        if unknown:
            choices = ", ".join(sorted(known)) or "none"
            raise ValidationError(
                {name: [f"There is no such filter; available: {choices}."] for name in unknown}
            )
        filtered: QuerySet[Any] = super().filter_queryset(request, queryset, view)
        return filtered
