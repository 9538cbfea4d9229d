from django.urls import path

from inference.doors.rest import PredictAliasView, PredictVersionView, PredictView

urlpatterns = [
    path("models/<str:model>@<str:alias>/predict", PredictAliasView.as_view(), name="predict-alias"),
    path(
        "models/<str:model>/versions/<int:version>/predict",
        PredictVersionView.as_view(),
        name="predict-version",
    ),
    path("models/<str:model>/predict", PredictView.as_view(), name="predict"),
]
