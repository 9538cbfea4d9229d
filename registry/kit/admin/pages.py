"""What the admin pages of Models and everything under them share: rights, object scope, no full counts."""

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse

from registry.kit.admin.paging import NoCountPaginator
from registry.kit.admin.theme import actor
from registry.kit.scope import READ, in_scope


class ScopedPage:
    """Shows the rows of Models within the caller's reach, and lets nobody write past the services."""

    scope: ClassVar[str] = "model_id"  # the path to the Model's id
    show_full_result_count = False
    paginator: Any = NoCountPaginator

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)  # type: ignore[misc]
        return in_scope(rows, actor(request), model=self.scope)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return READ in actor(request).rights

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return READ in actor(request).rights

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class CardPage(ScopedPage):
    """A row's page that has cards of ours around Django's form."""

    def card(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """What the templates of the cards are told."""
        raise NotImplementedError

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        row = self.get_object(request, object_id)  # type: ignore[attr-defined]
        extra = self.card(request, row) if row is not None else {}
        shown: HttpResponse = super().change_view(  # type: ignore[misc]
            request, object_id, form_url, {**(extra_context or {}), **extra}
        )
        return shown


class OwnPage(ScopedPage):
    """A row's page that is all ours, and only read: what changes the row has pages of its own."""

    own_template: ClassVar[str]

    def shown(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """What the template is told; `title` among it."""
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
        if request.method != "GET":
            return HttpResponseNotAllowed(["GET"])
        context = {**page.admin_site.each_context(request), "opts": page.opts, "has_view_permission": True}
        return TemplateResponse(request, self.own_template, {**context, **self.shown(request, row)})
