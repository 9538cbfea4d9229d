from django.urls import path

from registry.intake.api import UploadsView
from registry.intake.bundles.api import BundlesView
from registry.intake.checklist.api import ChecksView
from registry.intake.examples.api import ExamplesView, GoldenResultsView, GoldenSetView

_MODEL = "models/<str:slug>"
_VERSION = f"{_MODEL}/versions/<int:number>"
_UPLOAD = "uploads/<str:pk>"

urlpatterns = [
    path("uploads", UploadsView.as_view({"get": "list", "post": "create"})),
    path(_UPLOAD, UploadsView.as_view({"get": "retrieve", "put": "write", "delete": "destroy"})),
    path(f"{_UPLOAD}/complete", UploadsView.as_view({"post": "complete"})),
    path(f"{_UPLOAD}/task-config", UploadsView.as_view({"get": "suggest"})),
    path(f"{_VERSION}/bundle", BundlesView.as_view({"get": "retrieve"}), name="bundle"),
    path(f"{_VERSION}/checks", ChecksView.as_view({"get": "retrieve", "post": "create"})),
    path(f"{_VERSION}/examples", ExamplesView.as_view({"get": "list", "post": "create"})),
    path(f"{_MODEL}/golden-set", GoldenSetView.as_view({"get": "retrieve", "put": "update"})),
    path(f"{_MODEL}/golden-results", GoldenResultsView.as_view({"get": "list"})),
]
