from django.urls import path

from inference.serving.stewards.api import EnginesView

urlpatterns = [path("engines", EnginesView.as_view({"get": "list"}))]
