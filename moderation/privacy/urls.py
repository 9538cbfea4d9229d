from django.urls import path

from moderation.privacy.api import ErasuresView

urlpatterns = [
    path("erasures", ErasuresView.as_view({"get": "list", "post": "create"}), name="erasures"),
    path("erasures/<int:pk>", ErasuresView.as_view({"get": "retrieve"}), name="erasure"),
]
