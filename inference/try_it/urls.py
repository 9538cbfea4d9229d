"""Mounted under /admin/, before the admin's own addresses: those end with a page for whatever is unknown."""

from django.contrib import admin
from django.urls import path

from inference.try_it.views import TryModelView, TryVersionView

urlpatterns = [
    path("registry/model/<int:pk>/try/", admin.site.admin_view(TryModelView.as_view()), name="try-model"),
    path(
        "registry/version/<int:pk>/try/", admin.site.admin_view(TryVersionView.as_view()), name="try-version"
    ),
]
