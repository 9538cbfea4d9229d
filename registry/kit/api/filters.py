"""Filters that do not ignore what they do not know."""

from typing import Any

from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from registry.kit.api.paging import CursorPages

_PAGING = {CursorPages.cursor_query_param, CursorPages.page_size_query_param}


class StrictFilters(DjangoFilterBackend):  # type: ignore[misc]  # the package carries no types
    """Refuse unknown parameters: a misspelt filter must not answer with everything."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        filterset_class = self.get_filterset_class(view, queryset)
        known = set(filterset_class.base_filters) if filterset_class else set()
        unknown = sorted(set(request.query_params) - known - _PAGING)
        if unknown:
            choices = ", ".join(sorted(known)) or "none"
            raise ValidationError(
                {name: [f"There is no such filter; there are: {choices}."] for name in unknown}
            )
        filtered: QuerySet[Any] = super().filter_queryset(request, queryset, view)
        return filtered
