from django.urls import path

from inference.doors.rest import views

_MODEL, _VERSION, _ALIAS = (
    "models/<str:model>",
    "models/<str:model>/versions/<int:version>",
    "models/<str:model>@<str:alias>",
)

urlpatterns = [
    path(f"{_ALIAS}/predict", views.PredictAliasView.as_view(), name="predict-alias"),
    path(f"{_VERSION}/predict", views.PredictVersionView.as_view(), name="predict-version"),
    path(f"{_MODEL}/predict", views.PredictView.as_view(), name="predict"),
    path(f"{_ALIAS}/schema", views.SignatureOfAliasView.as_view(), name="schema-of-alias"),
    path(f"{_VERSION}/schema", views.SignatureOfVersionView.as_view(), name="schema-of-version"),
    path(f"{_MODEL}/schema", views.SignatureView.as_view(), name="schema-of-model"),
]
