from django.urls import path

from registry.intake.checklist.api import ChecksView

urlpatterns = [
    path(
        "models/<str:slug>/versions/<int:number>/checks",
        ChecksView.as_view({"get": "retrieve", "post": "create"}),
    ),
]
