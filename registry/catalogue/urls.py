from typing import Any

from django.urls import path

from registry.catalogue.api.aliases import AliasesView, AliasMovesView, GuardsView
from registry.catalogue.api.downloads import DownloadLinksView, DownloadsView, TaskFilesView
from registry.catalogue.api.models import ModelsView
from registry.catalogue.api.versions import ArtifactsView, ServingView, VersionsView

LIST: dict[str, Any] = {"get": "list"}
SHOW: dict[str, Any] = {"get": "retrieve"}
_MODEL = "models/<str:slug>"
_VERSION = f"{_MODEL}/versions/<int:number>"
_ALIAS = f"{_MODEL}/aliases/<str:name>"

urlpatterns = [
    path("models", ModelsView.as_view({**LIST, "post": "create"})),
    path(_MODEL, ModelsView.as_view({**SHOW, "patch": "partial_update"})),
    path(f"{_MODEL}/versions", VersionsView.as_view(LIST)),
    path(_VERSION, VersionsView.as_view(SHOW)),
    path(f"{_VERSION}/archive", VersionsView.as_view({"post": "archive"})),
    path(f"{_VERSION}/unarchive", VersionsView.as_view({"post": "unarchive"})),
    path(f"{_VERSION}/clear", VersionsView.as_view({"post": "clear"})),
    path(f"{_VERSION}/download", DownloadLinksView.as_view({"post": "create"})),
    path(f"{_VERSION}/files/<str:name>", TaskFilesView.as_view(SHOW), name="task-file"),
    path("downloads/<str:link>", DownloadsView.as_view(SHOW), name="download"),
    path(f"{_VERSION}/serving", ServingView.as_view({**SHOW, "patch": "partial_update"})),
    path(f"{_VERSION}/serving/revisions", ServingView.as_view(LIST)),
    path(f"{_MODEL}/aliases", AliasesView.as_view(LIST)),
    path(_ALIAS, AliasesView.as_view({**SHOW, "put": "update"})),
    path(f"{_ALIAS}/retire", AliasesView.as_view({"post": "retire"})),
    path(f"{_ALIAS}/moves", AliasMovesView.as_view(LIST)),
    path(f"{_ALIAS}/guard", GuardsView.as_view({**SHOW, "put": "update", "delete": "destroy"})),
    path("artifacts", ArtifactsView.as_view(LIST)),
    path("artifacts/<str:sha256>", ArtifactsView.as_view(SHOW)),
]
