"""Checks of a version over HTTP."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access.policies import Right
from registry.catalogue.api import ModelViewSet
from registry.intake.checklist import selectors, services
from registry.intake.checklist.models import CheckLine, CheckRun
from registry.kit.api import idempotent


class CheckLineSerializer(serializers.ModelSerializer[CheckLine]):
    title = serializers.CharField(source="get_step_display", read_only=True)
    facts = serializers.DictField(read_only=True)

    class Meta:
        model = CheckLine
        fields = ["step", "title", "state", "code", "reason", "advice", "facts", "started_at", "ended_at"]
        read_only_fields = fields


class CheckRunSerializer(serializers.ModelSerializer[CheckRun]):
    model = serializers.CharField(source="version.model.slug", read_only=True)
    version = serializers.IntegerField(source="version.number", read_only=True)
    lines = CheckLineSerializer(many=True, read_only=True)

    class Meta:
        model = CheckRun
        fields = [
            "model", "version", "number", "state", "reason", "runtime_version", "asked_by", "started_at", "ended_at",
            "lines",
        ]  # fmt: skip
        read_only_fields = fields


class AskedCheckSerializer(serializers.Serializer[Any]):
    """The immediate answer; the check itself is then available at the same URL."""

    model = serializers.CharField()
    version = serializers.IntegerField()
    status = serializers.CharField(help_text="The version's current state.")


@extend_schema(tags=["checks"])
@extend_schema_view(
    retrieve=extend_schema(
        summary="Show the newest check of a version, step by step",
        operation_id="show_check",
        responses=CheckRunSerializer,
    )
)
class ChecksView(ModelViewSet[CheckRun]):
    rights: ClassVar[Mapping[str, str]] = {"retrieve": Right.READ, "create": Right.WRITE}
    queryset = CheckRun.objects.none()
    serializer_class = CheckRunSerializer

    def get_queryset(self) -> QuerySet[CheckRun]:
        return selectors.runs_for(self.actor).filter(version=self.url_version())

    def get_object(self) -> CheckRun:
        return selectors.the_newest_run(self.url_version())

    @extend_schema(
        summary="Request a check of a version, even one that failed before", operation_id="ask_check",
        request=None, responses={202: AskedCheckSerializer},
    )  # fmt: skip
    @idempotent()
    def create(self, request: Request, slug: str, number: int) -> Response:
        version = services.ask_check(version=self.url_version(), by=self.actor)
        answer = {"model": slug, "version": number, "status": version.status}
        return Response(AskedCheckSerializer(answer).data, status=202)
