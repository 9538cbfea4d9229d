"""Stopping and freezing Models over HTTP."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import (
    extend_schema,
    extend_schema_view,
)
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access.policies import Right
from registry.catalogue.api import ChangeReasonSerializer, ModelViewSet
from registry.catalogue.models import Model
from registry.kit.actors import in_scope
from registry.kit.api import idempotent
from registry.kit.text import MAX_REASON
from registry.traffic import services
from registry.traffic.models import Hold

Text = serializers.CharField


class StopSerializer(serializers.Serializer[Any]):
    text = Text(max_length=MAX_REASON, help_text="Shown to callers.")


class HoldSerializer(serializers.ModelSerializer[Hold]):
    model = serializers.SlugRelatedField[Model](slug_field="slug", read_only=True)

    class Meta:
        model = Hold
        fields = ["model", "kind", "text", "from_at", "to_at", "begun_by", "ended_by"]
        read_only_fields = fields


@extend_schema(tags=["holds"])
@extend_schema_view(
    list=extend_schema(summary="List the stops and freezes of a Model", operation_id="list_holds")
)
class HoldsView(ModelViewSet[Hold]):
    rights: ClassVar[Mapping[str, str]] = {
        "list": Right.READ, "stop": Right.STOP, "start": Right.SET_SPLIT,
        "freeze": Right.FREEZE, "unfreeze": Right.FREEZE,
    }  # fmt: skip
    queryset = Hold.objects.none()
    serializer_class = HoldSerializer

    def get_queryset(self) -> QuerySet[Hold]:
        return in_scope(Hold.objects.select_related("model"), self.actor).filter(model=self.url_model())

    @extend_schema(
        summary="Stop a Model", operation_id="stop_model",
        request=StopSerializer, responses=HoldSerializer,
    )  # fmt: skip
    @idempotent()
    def stop(self, request: Request, slug: str) -> Response:
        data = self.read(StopSerializer)
        return self.shown(services.stop_model(model=self.url_model(), **data, by=self.actor))

    @extend_schema(
        summary="Start a stopped Model", operation_id="start_model",
        request=ChangeReasonSerializer, responses=HoldSerializer,
    )  # fmt: skip
    @idempotent()
    def start(self, request: Request, slug: str) -> Response:
        return self._change(services.start_model)

    @extend_schema(
        summary="Freeze a Model: no version may gain live share", operation_id="freeze_model",
        request=ChangeReasonSerializer, responses=HoldSerializer,
    )  # fmt: skip
    @idempotent()
    def freeze(self, request: Request, slug: str) -> Response:
        return self._change(services.freeze_model)

    @extend_schema(
        summary="Unfreeze a Model", operation_id="unfreeze_model",
        request=ChangeReasonSerializer, responses=HoldSerializer,
    )  # fmt: skip
    @idempotent()
    def unfreeze(self, request: Request, slug: str) -> Response:
        return self._change(services.unfreeze_model)

    def _change(self, verb: Callable[..., Hold]) -> Response:
        return self.shown(verb(model=self.url_model(), **self.read(ChangeReasonSerializer), by=self.actor))
