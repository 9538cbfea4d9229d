from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from registry.catalogue.models import Artifact, ServingSettings
from registry.kit.admin.columns import Tone, badge, moment_column, size_column, text_column
from registry.kit.admin.facts import size
from registry.kit.admin.pages import ScopedPage, exact_filter
from registry.kit.admin.theme import ModelAdmin, display


@admin.register(ServingSettings)
class ServingSettingsPage(ScopedPage, ModelAdmin[ServingSettings]):
    empty_text = "Changes to serving settings made on a version’s page are listed here."
    scope = "version__model_id"
    list_display = [
        "__str__", "state", text_column("reason", "reason"), "made_by", moment_column("created_at", "created"),
    ]  # fmt: skip
    list_select_related = ["version__model"]
    list_filter = ["is_current", exact_filter("version__model__slug", "Model")]
    list_filter_submit = True
    search_fields = ["version__model__slug", "reason"]
    fields = readonly_fields = (
        "version",
        "revision",
        "is_current",
        "values",
        "reason",
        "made_by",
        "created_at",
    )

    @display(description="state", ordering="is_current")
    def state(self, serving: ServingSettings) -> str:
        return badge("current", Tone.GOOD) if serving.is_current else badge("past", Tone.IDLE)


@admin.register(Artifact)
class ArtifactPage(ScopedPage, ModelAdmin[Artifact]):
    empty_text = "The files of uploaded versions are listed here."
    scope = "versions__model_id"
    list_display = ["sha256", size_column("size_bytes"), moment_column("created_at", "created")]
    ordering = ["-id"]
    search_fields = ["sha256"]
    fields = readonly_fields = ("sha256", "size", "created_at")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).distinct()

    @display(description="size")
    def size(self, artifact: Artifact) -> str:
        return size(artifact.size_bytes)
