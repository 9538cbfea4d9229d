from django.urls import path

from moderation.review.api import AuthorsView, QueuesView, StatementsView

urlpatterns = [
    path("decisions/<str:request_id>/statement", StatementsView.as_view({"get": "retrieve"})),
    path("statements", StatementsView.as_view({"get": "list"})),
    path("authors/<path:author_id>", AuthorsView.as_view({"get": "retrieve"})),
    path("review/queues", QueuesView.as_view({"get": "show"})),
]
