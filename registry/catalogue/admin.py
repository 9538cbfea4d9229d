from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from registry.catalogue.models import Artifact, ServingSettings
from registry.kit.admin.pages import ScopedPage
from registry.kit.admin.theme import ModelAdmin, display


@admin.register(ServingSettings)
class ServingSettingsPage(ScopedPage, ModelAdmin[ServingSettings]):
    empty_text = "Changes to serving settings made on a version’s page are listed here."
    scope = "version__model_id"
    list_display = ["__str__", "is_current", "reason", "made_by", "created_at"]
    list_select_related = ["version__model"]
    list_filter = ["is_current"]
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


@admin.register(Artifact)
class ArtifactPage(ScopedPage, ModelAdmin[Artifact]):
    empty_text = "The files of uploaded versions are listed here."
    scope = "versions__model_id"
    list_display = ["sha256", "size", "created_at"]
    search_fields = ["sha256"]
    fields = readonly_fields = ("sha256", "size", "created_at")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).distinct()

    @display(description="size")
    def size(self, artifact: Artifact) -> str:
        return f"{artifact.size_bytes / 1024:,.1f} KiB"
