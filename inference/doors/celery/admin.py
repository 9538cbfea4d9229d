from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from inference.doors.celery.models import RefusedOrder
from registry.kit.admin.columns import Tone, badge, moment_column, text_column
from registry.kit.admin.history import HistoryPage
from registry.kit.admin.pages import NoCountPaginator, exact_filter
from registry.kit.admin.theme import ModelAdmin, actor, display
from registry.record.selectors import READ, visible


@admin.register(RefusedOrder)
class RejectedJobPage(HistoryPage, ModelAdmin[RefusedOrder]):
    """Visible to people who may read their Models' record. Rows without a Model need access to all Models."""

    empty_text = "Jobs that were submitted through Celery and rejected appear here, with the reason."
    list_display = [
        moment_column("created_at", "received"), "reason_code", text_column("why", "why"), "sender", "model_slug",
        text_column("task_id", "task id", longest=12), moment_column("told_at", "sender told"),
    ]  # fmt: skip
    list_filter = ["code", exact_filter("model_slug", "Model")]
    list_filter_submit = True
    search_fields = ["=task_id", "=model_slug"]
    search_help_text = "Task id or Model."
    readonly_fields: ClassVar[list[str]] = [
        "created_at", "code", "why", "sender", "key", "model_slug", "task_id", "to_call", "told_at",
    ]  # fmt: skip
    show_full_result_count = False
    paginator: ClassVar[Any] = NoCountPaginator

    @display(description="code", ordering="code")
    def reason_code(self, job: RefusedOrder) -> str:
        return badge(job.code, Tone.BAD)

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
