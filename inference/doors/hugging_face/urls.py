"""Routes at the root: the client calls the URL that it is given as it is."""

from django.urls import path, re_path

from inference.doors.hugging_face import views
from inference.doors.oip.views import UnknownPathView

urlpatterns = [
    path("hf/models/<str:model>@<str:alias>", views.HuggingFaceAliasView.as_view()),
    path("hf/models/<str:model>/versions/<int:version>", views.HuggingFaceVersionView.as_view()),
    path("hf/models/<str:model>", views.HuggingFaceView.as_view()),
    re_path(r"^hf/", UnknownPathView.as_view()),
]
