"""What the API tells of engines."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from inference.serving.stewarding import selectors
from inference.serving.stewarding.models import EngineReport, HeldVersion


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
    is_alive = serializers.SerializerMethodField(help_text="It has reported within the last 15 seconds.")
    versions = serializers.SerializerMethodField()
    others = serializers.SerializerMethodField(
        help_text="How many versions it holds of Models that you may not see."
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
