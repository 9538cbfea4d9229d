"""The address that the forms' searchable field for a Model asks: what matches, and what a wrong name probably meant."""

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.urls import path

from registry.access.policies import Right
from registry.catalogue.selectors import find_models, near_miss
from registry.kit.admin.theme import actor

MAX_CHOICES = 20
_MAX_TEXT = 100


def model_choices(request: HttpRequest) -> HttpResponse:
    if request.method != "GET":
        return HttpResponseNotAllowed(["GET"])
    by = actor(request)
    if Right.READ not in by.rights:
        raise PermissionDenied
    text = request.GET.get("q", "").strip()[:_MAX_TEXT].replace("\0", "")
    found = list(find_models(text, by)[: MAX_CHOICES + 1])
    is_known = any(slug == text for slug, _ in found)
    return JsonResponse(
        {
            "models": [{"slug": slug, "title": title} for slug, title in found[:MAX_CHOICES]],
            "more": len(found) > MAX_CHOICES,
            "near": "" if is_known else near_miss(text, by),
        },
        headers={"Cache-Control": "no-store"},
    )


# Included before the admin's own URLs, which end with a catch-all.
urlpatterns = [
    path("registry/model/choices/", admin.site.admin_view(model_choices), name="model-choices"),
]
