"""The registry's API, room by room; mounted under /api/v1/."""

from django.urls import include, path

urlpatterns = [
    path("", include("registry.access.urls")),
    path("", include("registry.catalogue.urls")),
    path("", include("registry.intake.urls")),
    path("", include("registry.record.urls")),
    path("", include("registry.traffic.urls")),
]
