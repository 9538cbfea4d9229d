"""The doors alone, where a test needs nothing else."""

from django.urls import include, path

from inference.doors.rest.api import PredictDefaultView

urlpatterns = [
    path("predict", PredictDefaultView.as_view()),
    path("", include("inference.doors.oip.urls")),
    path("", include("inference.doors.hugging_face.urls")),
    path("api/v1/", include("inference.doors.urls")),
    path("api/v1/", include("inference.doors.grpc.urls")),
]
