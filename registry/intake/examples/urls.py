from django.urls import path

from registry.intake.examples.api import ExamplesView, GoldenResultsView, GoldenSetView

_MODEL = "models/<str:slug>"

urlpatterns = [
    path(f"{_MODEL}/versions/<int:number>/examples", ExamplesView.as_view({"get": "list", "post": "create"})),
    path(f"{_MODEL}/golden-set", GoldenSetView.as_view({"get": "retrieve", "put": "update"})),
    path(f"{_MODEL}/golden-results", GoldenResultsView.as_view({"get": "list"})),
]
