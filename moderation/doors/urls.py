"""Addresses of moderation: for Django, and for the event loop."""

from django.urls import include, path, re_path

from moderation.deciding.api import PreviewsView
from moderation.doors import api
from moderation.doors.categories.api import CategoryMappingsView
from moderation.doors.door import REST, ModerationDoor
from moderation.doors.openai.door import OPENAI
from moderation.doors.openai.views import OpenAiMissingView, OpenAiModerationsView
from moderation.doors.perspective.door import PERSPECTIVE
from moderation.doors.perspective.views import AnalyzeCommentView, PerspectiveMissingView

urlpatterns = [
    path("api/v1/", include("moderation.policies.urls")),
    path("api/v1/", include("moderation.reports.urls")),
    path("api/v1/", include("moderation.appeals.urls")),
    path("api/v1/", include("moderation.review.urls")),
    path("api/v1/", include("moderation.privacy.urls")),
    path("api/v1/policies/<str:name>/previews", PreviewsView.as_view({"post": "create"})),
    path("api/v1/policies/<str:name>/previews/<int:preview>", PreviewsView.as_view({"get": "retrieve"})),
    path("api/v1/moderate", api.ModerateView.as_view(), name="moderate"),
    path("moderate", api.ModerateDefaultView.as_view(), name="moderate-default"),
    path("api/v1/decisions", api.DecisionsView.as_view({"get": "list"}), name="decisions"),
    path(
        "api/v1/decisions/<str:request_id>",
        api.DecisionsView.as_view({"get": "retrieve"}),
        name="decision",
    ),
    path("api/v1/", include("moderation.quality.urls")),
    path(
        "api/v1/category-mappings/<str:protocol>",
        CategoryMappingsView.as_view({"get": "retrieve", "put": "update"}),
        name="category-mappings",
    ),
    path("v1/moderations", OpenAiModerationsView.as_view(), name="openai-moderations"),
    re_path(r"^v1/", OpenAiMissingView.as_view()),
    path("v1alpha1/comments:analyze", AnalyzeCommentView.as_view(), name="perspective-analyze"),
    re_path(r"^v1alpha1/", PerspectiveMissingView.as_view()),
]

_DOORS: dict[str, ModerationDoor] = {
    "/api/v1/moderate": REST,
    "/moderate": REST,
    "/v1/moderations": OPENAI,
    "/v1alpha1/comments:analyze": PERSPECTIVE,
}
_FORMATS: dict[str, ModerationDoor] = {
    "/v1/": OPENAI,
    "/v1alpha1/": PERSPECTIVE,
}  # by the beginning of their addresses


def door_at(path: str) -> ModerationDoor | None:
    """The door of an address; None for all others, which Django resolves."""
    return _DOORS.get(path)


def door_below(path: str) -> ModerationDoor | None:
    """The door whose format an error has at any address below the door's own; None: it is an API problem."""
    return next((door for prefix, door in _FORMATS.items() if path.startswith(prefix)), None)
