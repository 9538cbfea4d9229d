from typing import Any

from django.urls import path

from registry.intake.api import UploadsView

LIST: dict[str, Any] = {"get": "list", "post": "create"}
ONE: dict[str, Any] = {"get": "retrieve", "put": "write", "delete": "destroy"}

urlpatterns = [
    path("uploads", UploadsView.as_view(LIST)),
    path("uploads/<str:pk>", UploadsView.as_view(ONE)),
    path("uploads/<str:pk>/complete", UploadsView.as_view({"post": "complete"})),
]
