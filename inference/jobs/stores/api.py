"""The stores that a caller's jobs may use. Where they lie is said to nobody here."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from inference.jobs.stores.models import Store
from inference.jobs.stores.selectors import stores_for
from registry.access.policies import Right
from registry.kit.api import RegistryViewSet


class StoreSerializer(serializers.ModelSerializer[Store]):
    class Meta:
        model = Store
        fields = ["name", "kind", "may_read", "may_write"]
        read_only_fields = fields


@extend_schema(tags=["jobs"])
class StoresView(RegistryViewSet[Store]):
    rights: ClassVar[Mapping[str, str | tuple[str, ...]]] = {"list": Right.PREDICT}
    queryset = Store.objects.none()
    serializer_class = StoreSerializer
    paging_order = "name"

    def get_queryset(self) -> QuerySet[Store]:
        return stores_for(self.actor)

    @extend_schema(summary="List the stores that your jobs may use", operation_id="list_job_stores")
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)
