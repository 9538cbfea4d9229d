"""Engine processes over HTTP."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from inference.serving import selectors
from inference.serving.models import EngineReport, HeldVersion
from registry.access.policies import Right
from registry.kit.api import RegistryViewSet


class HeldSerializer(serializers.ModelSerializer[HeldVersion]):
    model = serializers.CharField(source="version.model.slug", read_only=True)
    version = serializers.IntegerField(source="version.number", read_only=True)

    class Meta:
        model = HeldVersion
        fields = [
            "model", "version", "serving", "state", "use", "footprint_bytes", "since", "provider_asked", "provider_got",
            "reason",
        ]  # fmt: skip
        read_only_fields = fields


class EngineSerializer(serializers.ModelSerializer[EngineReport]):
    is_alive = serializers.SerializerMethodField(
        help_text="Whether it has reported within the last 15 seconds."
    )
    versions = serializers.SerializerMethodField()
    others = serializers.SerializerMethodField(
        help_text="How many of its versions belong to Models that you may not see."
    )

    class Meta:
        model = EngineReport
        fields = [
            "id", "kind", "role", "pool", "state", "is_alive", "host", "pid", "started_at", "seen_at", "lost_at",
            "provider_asked", "provider_got", "device", "memory_used_bytes", "memory_budget_bytes", "threads", "running",
            "waiting", "versions", "others",
        ]  # fmt: skip
        read_only_fields = fields

    def get_is_alive(self, engine: EngineReport) -> bool:
        return selectors.is_alive(engine)

    @extend_schema_field(HeldSerializer(many=True))
    def get_versions(self, engine: EngineReport) -> Any:
        return HeldSerializer(engine.seen_held, many=True).data  # type: ignore[attr-defined]

    def get_others(self, engine: EngineReport) -> int:
        return len(engine.held.all()) - len(engine.seen_held)  # type: ignore[attr-defined]


@extend_schema(tags=["engines"])
class EnginesView(RegistryViewSet[EngineReport]):
    rights: ClassVar[Mapping[str, str]] = {"list": Right.READ}
    queryset = EngineReport.objects.none()
    serializer_class = EngineSerializer
    paging_order = "id"

    def get_queryset(self) -> QuerySet[EngineReport]:
        return selectors.engines_for(self.actor)

    @extend_schema(
        summary="List the processes with an engine, and the versions that each holds",
        operation_id="list_engines",
    )
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)
