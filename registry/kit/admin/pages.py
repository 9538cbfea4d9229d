"""What admin pages share: who may open them, which rows they list, how lists are counted, filtered and exported."""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, ClassVar

from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.utils.functional import cached_property

from registry.kit.actors import READ, in_scope
from registry.kit.admin.history import HistoryPage, has_history
from registry.kit.admin.theme import TextFilter, actor

# Takes additional context.
FormView = Callable[[dict[str, Any] | None], HttpResponse]
COUNT_AT_MOST = 10_000
_STARTS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class NoCountPaginator(Paginator):  # type: ignore[type-arg]  # accepts no type parameter at run time
    """Stops counting at 10,000: counting a million rows takes longer than the rest of the page.

    The list ends there; use filters to reach older rows.
    """

    template_name = "admin/registry/pagination.html"

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        if not isinstance(rows, QuerySet):
            return len(rows)
        return rows.order_by().values("pk")[:COUNT_AT_MOST].count()

    @property
    def is_cut(self) -> bool:
        """Whether there are more rows than the pages show."""
        return self.count >= COUNT_AT_MOST


class ReadOnlyPage(HistoryPage):
    """A page for people with its right, regardless of Django's permission tables. Only services change rows."""

    right: ClassVar[str] = READ
    show_full_result_count = False
    paginator: Any = NoCountPaginator

    def has_right(self, request: HttpRequest) -> bool:
        return self.right in actor(request).rights

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_right(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_right(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class EditablePage(ReadOnlyPage):
    """A page whose form adds and changes rows, through services. Rows are not deleted."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_right(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_right(request)


class ScopedPage(ReadOnlyPage):
    """Lists the rows of the Models that the actor may see."""

    scope: ClassVar[str] = "model_id"  # the path to the Model's id

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)  # type: ignore[misc]
        return in_scope(rows, actor(request), model=self.scope)


class CardPage(ScopedPage):
    """A row's page with our own cards around Django's form."""

    def card(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return the context of the cards' templates."""
        raise NotImplementedError

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        row = self.get_object(request, object_id)  # type: ignore[attr-defined]
        card = self.card(request, row) if row is not None else {}
        response: HttpResponse = super().change_view(  # type: ignore[misc]
            request, object_id, form_url, {**(extra_context or {}), **card}
        )
        return response


class RowPage(ScopedPage):
    """A row's page that we draw ourselves."""

    @property
    def has_form(self) -> bool:
        """Whether the page accepts Django's form."""
        return False

    def show_row(
        self, request: HttpRequest, row: Any, context: dict[str, Any], form_view: FormView
    ) -> HttpResponse:
        """Draw the page from this context; `form_view` draws Django's page with its form instead."""
        raise NotImplementedError

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        form_view: FormView = partial(super().change_view, request, object_id, form_url)  # type: ignore[misc]
        page: Any = self
        row = page.get_object(request, object_id)
        if row is None:
            return form_view(extra_context)  # Django says that the row does not exist
        if not page.has_view_permission(request, row):
            raise PermissionDenied
        if request.method not in {"GET", "HEAD"} and not self.has_form:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        context = {
            **page.admin_site.each_context(request),
            "opts": page.opts,
            "original": row,
            "has_view_permission": True,
            **(extra_context or {}),
        }
        return self.show_row(request, row, context, form_view)


class OwnPage(RowPage):
    """A row's page with its own template and no form: each verb has its own page."""

    own_template: ClassVar[str]

    def shown(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return the template's context, with a `title`."""
        raise NotImplementedError

    def show_row(
        self, request: HttpRequest, row: Any, context: dict[str, Any], form_view: FormView
    ) -> HttpResponse:
        own = {"show_history": has_history(row), **self.shown(request, row)}
        return TemplateResponse(request, self.own_template, {**context, **own})


def exact_filter(field: str, label: str) -> type[TextFilter]:
    """Make a list filter for one exact value: it uses the column's index, even on a million rows."""

    class ExactFilter(TextFilter):
        title = label
        parameter_name = field

        def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
            return queryset.filter(**{field: self.value()}) if self.value() else queryset

    return ExactFilter


class _Echo:
    def write(self, text: str) -> str:
        return text


def safe_cell(value: Any) -> Any:
    """Put an apostrophe before text that a spreadsheet would run as a formula; numbers stay numbers."""
    if isinstance(value, str) and value.startswith(_STARTS_A_FORMULA):
        return f"'{value}"
    return value


def csv_response(name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> StreamingHttpResponse:
    """Stream the rows as a CSV file, however many there are."""
    response = StreamingHttpResponse(_csv_lines(header, rows), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return response


def _csv_lines(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield writer.writerow(header)
    for row in rows:
        yield writer.writerow([safe_cell(value) for value in row])
