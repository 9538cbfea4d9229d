from django.urls import path

from moderation.reports.api import ReportsView

urlpatterns = [
    path("reports", ReportsView.as_view({"get": "list", "post": "create"})),
    path("reports/<int:pk>", ReportsView.as_view({"get": "retrieve"})),
]
