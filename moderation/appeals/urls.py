from django.urls import path

from moderation.appeals.api import AppealsView

urlpatterns = [
    path("appeals", AppealsView.as_view({"get": "list", "post": "create"})),
    path("appeals/<int:pk>", AppealsView.as_view({"get": "retrieve"})),
]
