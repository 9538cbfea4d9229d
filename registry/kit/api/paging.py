"""Pages by cursor: stable while rows are added, and never counted."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import DataError
from django.db.models import QuerySet
from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param

from registry.errors import BadPageSize


class CursorPages(CursorPagination):
    """`{"next", "previous", "results"}`. A view set's `paging_order` names an indexed, unique column."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200
    ordering = "-pk"

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: Any) -> tuple[str, ...]:
        return (getattr(view, "paging_order", self.ordering),)

    def get_page_size(self, request: Request) -> int:
        """What `page_size` says, up to the most; DRF itself passes over what is no number."""
        given = request.query_params.get(self.page_size_query_param)
        if given is None:
            return self.page_size
        if not (given.isascii() and given.isdigit() and given.strip("0")):
            raise BadPageSize(
                f"`page_size` is {given[:40]!r}; send a whole number, 1 or more. "
                f"At most {self.max_page_size} come at once."
            )
        return min(int(given.lstrip("0")[:9]), self.max_page_size)

    def decode_cursor(self, request: Request) -> Any:
        """Take only cursors that we have given: of others DRF reads what it knows, and may begin with the first page."""
        cursor = super().decode_cursor(request)
        if cursor is not None:
            given = request.query_params[self.cursor_query_param]
            if self.encode_cursor(cursor) != replace_query_param(
                request.build_absolute_uri(), self.cursor_query_param, given
            ):
                raise NotFound(self.invalid_cursor_message)
        return cursor

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any] | None:
        try:
            return super().paginate_queryset(queryset, request, view)
        except (ValueError, ValidationError, DataError, OverflowError):
            # The cursor decoded, but holds no value of the column: somebody made it up.
            raise NotFound(self.invalid_cursor_message) from None
