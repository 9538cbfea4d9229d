from django.urls import path

from registry.traffic.api.holds import HoldsView
from registry.traffic.api.requests import AllRequestsView, RequestsView, RuleView
from registry.traffic.api.splits import LiveVersionsView, SplitsView

_MODEL = "models/<str:slug>"
_DECISIONS = ("approve", "reject", "withdraw")
_VERBS = ("stop", "start", "freeze", "unfreeze")

urlpatterns = [
    path("live", LiveVersionsView.as_view({"get": "list"})),
    path(f"{_MODEL}/live", LiveVersionsView.as_view({"get": "live"})),
    path(f"{_MODEL}/live-at", LiveVersionsView.as_view({"get": "live_at"})),
    path(f"{_MODEL}/splits", SplitsView.as_view({"get": "list", "post": "create"})),
    path(f"{_MODEL}/splits/current", SplitsView.as_view({"get": "current"})),
    path(f"{_MODEL}/splits/<int:number>", SplitsView.as_view({"get": "retrieve"})),
    path(f"{_MODEL}/roll-back", SplitsView.as_view({"post": "roll_back"})),
    path(f"{_MODEL}/reshuffle", SplitsView.as_view({"post": "reshuffle"})),
    path(f"{_MODEL}/holds", HoldsView.as_view({"get": "list"})),
    path("requests", AllRequestsView.as_view({"get": "list"})),
    path(f"{_MODEL}/requests", RequestsView.as_view({"get": "list", "post": "create"})),
    path(f"{_MODEL}/requests/<int:pk>", RequestsView.as_view({"get": "retrieve"})),
    *(
        path(f"{_MODEL}/requests/<int:pk>/{verb}", RequestsView.as_view({"post": verb}))
        for verb in _DECISIONS
    ),
    path(f"{_MODEL}/approval-rule", RuleView.as_view({"post": "change"})),
    *(path(f"{_MODEL}/{verb}", HoldsView.as_view({"post": verb})) for verb in _VERBS),
]
