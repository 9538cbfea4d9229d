from django.urls import path

from inference.serving.stewarding.api import EnginesView

urlpatterns = [path("engines", EnginesView.as_view({"get": "list"}))]
