from django.urls import path

from inference.measure.api import FiguresView

urlpatterns = [path("models/<str:slug>/figures", FiguresView.as_view({"get": "figures"}))]
