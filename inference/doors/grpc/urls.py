from django.urls import path

from inference.doors.grpc.protos import ProtoView

urlpatterns = [path("protos/<str:name>", ProtoView.as_view(), name="proto")]
