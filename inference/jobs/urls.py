from typing import Any

from django.urls import path

from inference.jobs.api import ChunksView, JobsView, JobView, StoresView

LIST: dict[str, Any] = {"get": "list"}
_JOB = "jobs/<str:pk>"

urlpatterns = [
    path("job-stores", StoresView.as_view(LIST)),
    path("jobs", JobsView.as_view({**LIST, "post": "create"})),
    path(_JOB, JobView.as_view({"get": "retrieve"})),
    path(f"{_JOB}/results", JobView.as_view({"get": "results"})),
    path(f"{_JOB}/errors", JobView.as_view({"get": "errors"})),
    path(f"{_JOB}/chunks", ChunksView.as_view(LIST)),
    path(f"{_JOB}/cancel", JobView.as_view({"post": "cancel"})),
    path(f"{_JOB}/retry", JobView.as_view({"post": "retry"})),
]
