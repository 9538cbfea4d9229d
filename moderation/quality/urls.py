from django.urls import path

from moderation.quality.api import ReportCardsView

urlpatterns = [
    path("report-cards", ReportCardsView.as_view({"get": "show"}), name="report-cards"),
    path("verdicts.jsonl", ReportCardsView.as_view({"get": "verdicts"}), name="verdicts"),
]
