"""Engines over HTTP."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from inference.serving.stewarding import selectors
from inference.serving.stewarding.models import EngineReport
from inference.serving.stewarding.serializers import EngineSerializer
from registry.access.policies import Right
from registry.kit.api import RegistryViewSet


@extend_schema(tags=["engines"])
class EnginesView(RegistryViewSet[EngineReport]):
    rights: ClassVar[Mapping[str, str]] = {"list": Right.READ}
    queryset = EngineReport.objects.none()
    serializer_class = EngineSerializer
    paging_order = "id"

    def get_queryset(self) -> QuerySet[EngineReport]:
        return selectors.engines_for(self.actor)

    @extend_schema(
        summary="List the processes with an engine, and what each holds", operation_id="list_engines"
    )
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)
