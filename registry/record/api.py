from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from registry.kit.actors import every_model
from registry.kit.api import RegistryViewSet, check_if_match, etag_of, idempotent
from registry.record import deliveries, subscriptions
from registry.record.events import readable_data
from registry.record.models import AuditRecord, Delivery, Event, Subscription
from registry.record.selectors import READ, visible
from registry.record.sentences import describe
from registry.record.subscriptions import RIGHT, SubscriptionSettings


class AuditRecordSerializer(serializers.ModelSerializer[AuditRecord]):
    before = serializers.JSONField(read_only=True)  # null: no such values
    after = serializers.JSONField(read_only=True)
    sentence = serializers.SerializerMethodField(
        help_text="What was done, for people to read; it may change between releases."
    )

    class Meta:
        model = AuditRecord
        fields = [
            "seq", "at", "sentence", "actor_name", "user_id", "key_id", "source", "request_id", "action", "object_kind",
            "object_id", "object_label", "model_slug", "before", "after", "reason", "previous_hash", "hash",
        ]  # fmt: skip

    def get_sentence(self, record: AuditRecord) -> str:
        return describe(record)


class RecordFilters(django_filters.FilterSet):  # type: ignore[misc]  # the package has no type hints
    model = django_filters.CharFilter(field_name="model_slug")
    since = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    until = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")


class AuditFilters(RecordFilters):
    action = django_filters.CharFilter()
    actor = django_filters.CharFilter(field_name="actor_name")
    source = django_filters.CharFilter()
    object_kind = django_filters.CharFilter()
    object_id = django_filters.CharFilter()
    request_id = django_filters.CharFilter()


@extend_schema(tags=["record"])
class AuditView(RegistryViewSet[AuditRecord]):
    lookup_value_converter = "int"
    rights = dict.fromkeys(["list", "retrieve"], READ)
    queryset = AuditRecord.objects.all()
    serializer_class = AuditRecordSerializer
    filterset_class = AuditFilters

    def get_queryset(self) -> QuerySet[AuditRecord]:
        return visible(AuditRecord.objects.all(), self.actor)


class EventSerializer(serializers.ModelSerializer[Event]):
    class Meta:
        model = Event
        fields = [
            "id",
            "at",
            "kind",
            "summary",
            "object_kind",
            "object_id",
            "object_label",
            "model_slug",
            "data",
        ]

    def to_representation(self, event: Event) -> dict[str, Any]:
        shown = super().to_representation(event)
        return {**shown, "data": readable_data(event, self.context["view"].actor)}


class EventFilters(RecordFilters):
    kind = django_filters.CharFilter()


@extend_schema(tags=["record"])
class EventsView(RegistryViewSet[Event]):
    lookup_value_converter = "int"
    rights = dict.fromkeys(["list", "retrieve"], READ)
    queryset = Event.objects.all()
    serializer_class = EventSerializer
    filterset_class = EventFilters

    def get_queryset(self) -> QuerySet[Event]:
        return visible(Event.objects.all(), self.actor)


class DeliverySerializer(serializers.ModelSerializer[Delivery]):
    subscription = serializers.SlugRelatedField[Subscription](slug_field="name", read_only=True)

    class Meta:
        model = Delivery
        fields = [
            "id", "subscription", "event", "count", "order_key", "message_id", "status", "attempts", "due_at",
            "last_error", "http_status", "response_ms", "created_at", "ended_at",
        ]  # fmt: skip


class DeliveryFilters(django_filters.FilterSet):  # type: ignore[misc]
    status = django_filters.ChoiceFilter(choices=Delivery.Status.choices)
    subscription = django_filters.CharFilter(field_name="subscription__name")
    event = django_filters.NumberFilter()


@extend_schema(tags=["record"])
class DeliveriesView(RegistryViewSet[Delivery]):
    lookup_value_converter = "int"
    rights = {"list": READ, "retrieve": READ, "resend": RIGHT}
    queryset = Delivery.objects.select_related("subscription")
    serializer_class = DeliverySerializer
    filterset_class = DeliveryFilters

    def get_queryset(self) -> QuerySet[Delivery]:
        rows = Delivery.objects.select_related("subscription")
        return visible(rows, self.actor, model_slug="event__model_slug")

    @extend_schema(summary="Send a delivery again", request=None, responses=DeliverySerializer)
    @action(detail=True, methods=["post"])
    def resend(self, request: Request, pk: int) -> Response:
        return self.changed(lambda delivery: deliveries.resend(delivery, by=self.actor))


class SubscriptionSettingsSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=100)
    kinds = serializers.ListField(
        child=serializers.CharField(),
        default=list,
        help_text="Kinds of events; an empty list means all of them.",
    )
    model = serializers.SlugRelatedField[Any](
        slug_field="slug", queryset=every_model(), allow_null=True, default=None
    )
    url = serializers.CharField(max_length=2_000, allow_blank=True, default="")
    email = serializers.CharField(max_length=254, allow_blank=True, default="")
    enabled = serializers.BooleanField(default=True)


class SubscriptionSerializer(serializers.ModelSerializer[Subscription]):
    model = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True, allow_null=True)
    kinds = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = Subscription
        fields = ["id", "name", "kinds", "model", "channel", "url", "email", "enabled", "created_at"]


class SubscriptionWithSecret(SubscriptionSerializer):
    secret = serializers.CharField(
        help_text="The signing secret, shown only in this response; null in a replayed response."
    )

    class Meta(SubscriptionSerializer.Meta):
        fields = [*SubscriptionSerializer.Meta.fields, "secret"]


@extend_schema(tags=["record"])
class SubscriptionsView(RegistryViewSet[Subscription]):
    lookup_value_converter = "int"
    rights = dict.fromkeys(
        ["list", "retrieve", "create", "update", "destroy", "renew_secret", "send_test"], RIGHT
    )
    queryset = Subscription.objects.select_related("model")
    serializer_class = SubscriptionSerializer
    filterset_fields = ["name", "channel", "enabled"]

    @extend_schema(
        summary="Subscribe to events",
        request=SubscriptionSettingsSerializer,
        responses={201: SubscriptionWithSecret},
    )
    @idempotent(forget=["secret"])
    def create(self, request: Request) -> Response:
        row, secret = subscriptions.add_subscription(values=self._settings(), by=self.actor)
        response = self.created(row, location=f"/api/v1/subscriptions/{row.pk}", secret=secret)
        response["Cache-Control"] = "no-store"
        return response

    @extend_schema(
        summary="Replace a subscription",
        request=SubscriptionSettingsSerializer,
        responses=SubscriptionSerializer,
    )
    def update(self, request: Request, pk: int) -> Response:
        values = self._settings()
        return self.changed(
            lambda row: subscriptions.change_subscription(subscription=row, values=values, by=self.actor)
        )

    @extend_schema(summary="Delete a subscription", responses={204: None})
    def destroy(self, request: Request, pk: int) -> Response:
        row = self.get_object()
        check_if_match(request, etag_of(row))
        subscriptions.remove_subscription(subscription=row, by=self.actor)
        return Response(status=204)

    @extend_schema(summary="Replace the signing secret", request=None, responses=SubscriptionWithSecret)
    @action(detail=True, methods=["post"], url_path="renew-secret")
    def renew_secret(self, request: Request, pk: int) -> Response:
        secret = subscriptions.renew_secret(subscription=self.get_object(), by=self.actor)
        response = self.shown(self.get_object(), secret=secret)
        response["Cache-Control"] = "no-store"
        return response

    @extend_schema(summary="Send a test event", request=None, responses={202: DeliverySerializer})
    @action(detail=True, methods=["post"], url_path="test")
    def send_test(self, request: Request, pk: int) -> Response:
        delivery = subscriptions.send_test(subscription=self.get_object(), by=self.actor)
        return Response(
            DeliverySerializer(delivery).data,
            status=202,
            headers={"Location": f"/api/v1/deliveries/{delivery.pk}"},
        )

    def _settings(self) -> SubscriptionSettings:
        body = self.read(SubscriptionSettingsSerializer)
        model = body.pop("model")
        return SubscriptionSettings(**body, model_id=model.pk if model else None)
