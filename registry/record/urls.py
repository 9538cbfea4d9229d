from typing import Any

from django.urls import path

from registry.record.api import AuditView, DeliveriesView, EventsView, SubscriptionsView

LIST: dict[str, Any] = {"get": "list"}
SHOW: dict[str, Any] = {"get": "retrieve"}
_SUBSCRIPTION = "subscriptions/<int:pk>"

urlpatterns = [
    path("audit", AuditView.as_view(LIST)),
    path("audit/<int:pk>", AuditView.as_view(SHOW)),
    path("events", EventsView.as_view(LIST)),
    path("events/<int:pk>", EventsView.as_view(SHOW)),
    path("deliveries", DeliveriesView.as_view(LIST)),
    path("deliveries/<int:pk>", DeliveriesView.as_view(SHOW)),
    path("deliveries/<int:pk>/resend", DeliveriesView.as_view({"post": "resend"})),
    path("subscriptions", SubscriptionsView.as_view({**LIST, "post": "create"})),
    path(_SUBSCRIPTION, SubscriptionsView.as_view({**SHOW, "put": "update", "delete": "destroy"})),
    path(f"{_SUBSCRIPTION}/renew-secret", SubscriptionsView.as_view({"post": "renew_secret"})),
    path(f"{_SUBSCRIPTION}/test", SubscriptionsView.as_view({"post": "send_test"})),
]
