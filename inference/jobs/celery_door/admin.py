from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from inference.jobs.celery_door.models import RefusedOrder
from registry.kit.admin.pages import NoCountPaginator
from registry.kit.admin.theme import ModelAdmin, actor, display
from registry.record.selectors import READ, visible


@admin.register(RefusedOrder)
class RefusedOrderPage(ModelAdmin[RefusedOrder]):
    """Read by those who read the record, within their Models; who has no limit also sees what names no Model."""

    empty_text = "Orders that came through Celery and became no job stand here, with the reason."
    list_display = ["created_at", "code", "why", "sender", "model_slug", "task_id", "told_at"]
    list_filter = ["code"]
    search_fields = ["=task_id", "=model_slug"]
    search_help_text = "A task's id, or a Model."
    readonly_fields: ClassVar[list[str]] = [
        "created_at", "code", "why", "sender", "key", "model_slug", "task_id", "to_call", "told_at",
    ]  # fmt: skip
    show_full_result_count = False
    paginator: ClassVar[Any] = NoCountPaginator

    @display(description="to call")
    def to_call(self, order: RefusedOrder) -> str:
        """In words: coloured JSON would bring styles that the pages' policy forbids."""
        return f"{order.on_done['task']} in {order.on_done['queue']}" if order.on_done else ""

    def get_queryset(self, request: HttpRequest) -> QuerySet[RefusedOrder]:
        return visible(super().get_queryset(request), actor(request))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return READ in actor(request).rights

    def has_view_permission(self, request: HttpRequest, obj: RefusedOrder | None = None) -> bool:
        return READ in actor(request).rights

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: RefusedOrder | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: RefusedOrder | None = None) -> bool:
        return False
