from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from registry.catalogue.models import Alias, AliasMove, Artifact, ServingSettings
from registry.catalogue.pages import ScopedPage
from registry.theme import ModelAdmin, TabularInline, display


class MoveInline(TabularInline[AliasMove, Alias]):
    model = AliasMove
    fields = readonly_fields = ("version", "from_at", "to_at", "moved_by", "reason")
    extra = 0

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("version__model", "alias__model")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True  # whoever sees the alias sees where it was

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Alias)
class AliasPage(ScopedPage, ModelAdmin[Alias]):
    list_display = ["__str__", "points_to"]
    list_select_related = ["model", "version"]
    search_fields = ["model__slug", "name"]
    fields = readonly_fields = ("model", "name", "points_to")
    inlines = [MoveInline]

    @display(description="version")
    def points_to(self, alias: Alias) -> str:
        return str(alias.version.number) if alias.version is not None else "retired"


@admin.register(ServingSettings)
class ServingSettingsPage(ScopedPage, ModelAdmin[ServingSettings]):
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
    scope = "versions__model_id"
    list_display = ["sha256", "size", "created_at"]
    search_fields = ["sha256"]
    fields = readonly_fields = ("sha256", "size", "created_at")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).distinct()

    @display(description="size")
    def size(self, artifact: Artifact) -> str:
        return f"{artifact.size_bytes / 1024:,.1f} KiB"
