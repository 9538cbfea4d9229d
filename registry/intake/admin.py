from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from registry.access.policies import Right
from registry.catalogue.selectors import models_for
from registry.catalogue.task_kinds import field_choices, kept_endings, task_choices
from registry.errors import RoundhouseError
from registry.intake.models import Status, Upload
from registry.intake.selectors import uploads_for, uploads_of
from registry.intake.services import MAX_PART_BYTES, abandon_upload
from registry.intake.source_formats import SOURCE_FORMATS, SourceFormat
from registry.kit.actors import LacksRight
from registry.kit.admin.columns import Tone, moment_column, state_column
from registry.kit.admin.facts import size
from registry.kit.admin.history import HistoryPage
from registry.kit.admin.pages import NoCountPaginator, exact_filter
from registry.kit.admin.theme import ModelAdmin, actor, display

_TONES = {
    Status.OPEN: Tone.BUSY,
    Status.COMPLETE: Tone.GOOD,
    Status.FAILED: Tone.BAD,
    Status.TAKEN: Tone.GOOD,
}


def _describe_format(one: SourceFormat) -> dict[str, Any]:
    """What the page needs to know of a format; `missing` says why it is not converted here."""
    return {
        "name": one.name,
        "label": one.label,
        "endings": one.endings,
        "isProgram": one.is_program,
        "needsShapes": one.needs_shapes,
        "options": dict(one.options),
        "missing": one.missing(),
    }


@admin.register(Upload)
class UploadPage(HistoryPage, ModelAdmin[Upload]):
    """The add page uploads a file; the rows are read-only."""

    empty_text = "Files that are being uploaded are listed here until they become versions."
    list_display = [
        "__str__", state_column("status", _TONES), "progress", "model_slug", "made_by",
        moment_column("touched_at", "last change"),
    ]  # fmt: skip
    list_filter = ["status", exact_filter("model_slug", "Model"), exact_filter("made_by", "made by")]
    list_filter_submit = True
    search_fields = ["file_name", "model_slug", "made_by"]
    fields = readonly_fields = (
        "file_name",
        "status",
        "failure",
        "progress",
        "sha256",
        "version",
        "made_by",
        "made_at",
        "touched_at",
    )
    actions = ["abandon"]
    show_full_result_count = False
    paginator = NoCountPaginator

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self._may(request)

    def has_view_permission(self, request: HttpRequest, obj: Upload | None = None) -> bool:
        return self._may(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self._may(request)

    def has_change_permission(self, request: HttpRequest, obj: Upload | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Upload | None = None) -> bool:
        return False

    def has_abandon_permission(self, request: HttpRequest) -> bool:
        return self._may(request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Upload]:
        return uploads_for(actor(request))

    def get_urls(self) -> list[URLPattern]:
        to_version = path(
            "<str:pk>/made/", self.admin_site.admin_view(self.made), name="registry_upload_made"
        )
        return [to_version, *super().get_urls()]

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise LacksRight(Right.WRITE)
        by = actor(request)
        models = models_for(by).order_by("slug").values_list("slug", "title")
        slug = request.GET.get("model", "")
        return TemplateResponse(
            request,
            "admin/registry/upload.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "title": "Upload a version",
                "has_models": models.exists(),
                "model": models.filter(slug=slug).first(),
                "may_make_models": by.may(Right.WRITE),
                "tasks": task_choices(),
                "choices": field_choices(),
                "kept": kept_endings(),
                "converted": [one.label for one in SOURCE_FORMATS if not one.missing()],
                "formats": [_describe_format(one) for one in SOURCE_FORMATS],
                "largest": settings.UPLOAD_BYTES,
                "part": MAX_PART_BYTES,
                "made": reverse("admin:registry_upload_made", args=["ID"]),
            },
        )

    def made(self, request: HttpRequest, pk: str) -> HttpResponse:
        """Redirect to the version created from one of the caller's uploads."""
        try:
            upload = uploads_of(actor(request)).filter(pk=pk).first()
        except ValidationError:  # not a UUID
            raise Http404 from None
        if upload is None or upload.version is None:
            raise Http404
        return redirect("admin:registry_version_change", upload.version.pk)

    @display(description="received")
    def progress(self, upload: Upload) -> str:
        return f"{size(upload.received_bytes)} of {size(upload.size_bytes)}"

    @admin.action(description="Abandon the selected uploads", permissions=["abandon"])
    def abandon(self, request: HttpRequest, uploads: QuerySet[Upload]) -> None:
        for upload in uploads:
            try:
                abandon_upload(upload=upload, by=actor(request))
            except RoundhouseError as error:
                messages.error(request, f"{upload}: {error}")
            else:
                messages.success(request, f"{upload} was abandoned, and its data was deleted.")

    def _may(self, request: HttpRequest) -> bool:
        return Right.WRITE in actor(request).rights
