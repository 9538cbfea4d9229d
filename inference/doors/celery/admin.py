from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from inference.doors.celery.models import RefusedOrder
from registry.kit.admin.history import HistoryPage
from registry.kit.admin.pages import NoCountPaginator
from registry.kit.admin.theme import ModelAdmin, actor, display
from registry.record.selectors import READ, visible


@admin.register(RefusedOrder)
class RejectedJobPage(HistoryPage, ModelAdmin[RefusedOrder]):
    """Visible to people who may read their Models' record. Rows without a Model need access to all Models."""

    empty_text = "Jobs that were submitted through Celery and rejected appear here, with the reason."
    list_display = ["created_at", "code", "why", "sender", "model_slug", "task_id", "told_at"]
    list_filter = ["code"]
    search_fields = ["=task_id", "=model_slug"]
    search_help_text = "Task id or Model."
    readonly_fields: ClassVar[list[str]] = [
        "created_at", "code", "why", "sender", "key", "model_slug", "task_id", "to_call", "told_at",
    ]  # fmt: skip
    show_full_result_count = False
    paginator: ClassVar[Any] = NoCountPaginator

    @display(description="reply to")
    def to_call(self, job: RefusedOrder) -> str:
        """As text: highlighted JSON needs inline styles, which the content security policy forbids."""
        return f"{job.on_done['task']} in {job.on_done['queue']}" if job.on_done else ""

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
