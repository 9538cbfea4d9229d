"""The mappings of a protocol over HTTP."""

import hashlib
from typing import Any, ClassVar

from django.db import transaction
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from inference.doors.rest.serializers import Base
from moderation.doors.categories.models import MAX_CATEGORY, MAX_DETECTOR, MAX_LABEL, CategoryMapping
from moderation.doors.categories.protocols import CATEGORIES, ForeignProtocol
from moderation.doors.categories.services import LabelMapping, mappings_of, set_category_mappings
from moderation.rights import ModerationRight
from registry.errors import NotFound
from registry.kit.api import RegistryViewSet, check_if_match
from registry.record.audit import queue_writers

_PROTOCOL = OpenApiParameter("protocol", str, OpenApiParameter.PATH, enum=list(ForeignProtocol))
_TAG = ["moderation"]


class MappingRow(Base):
    detector = serializers.CharField(
        max_length=MAX_DETECTOR, help_text="A Model, or one of its aliases, as policies name it."
    )
    label = serializers.CharField(max_length=MAX_LABEL)  # type: ignore[assignment]  # the metaclass removes it
    category = serializers.CharField(
        max_length=MAX_CATEGORY, allow_blank=True, help_text="Empty: the label counts for no category."
    )


class MappingsForm(Base):
    mappings = MappingRow(many=True)


class CategoryMappings(Base):
    protocol = serializers.ChoiceField(list(ForeignProtocol))
    categories = serializers.ListField(child=serializers.CharField())
    mappings = MappingRow(many=True)


class CategoryMappingsView(RegistryViewSet[CategoryMapping]):
    rights: ClassVar[dict[str, Any]] = {
        "retrieve": ModerationRight.READ_POLICIES,
        "update": ModerationRight.EDIT_POLICIES,
    }
    serializer_class = CategoryMappings

    @extend_schema(
        operation_id="get_category_mappings",
        summary="Show which labels count for which categories of another service",
        description="Labels that are not listed count for the category that has their name; docs/moderation-clients.md"
        " lists the others.",
        parameters=[_PROTOCOL],
        responses=CategoryMappings,
        tags=_TAG,
    )
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        protocol = _protocol(kwargs["protocol"])
        return _shown(protocol, mappings_of(protocol))

    @extend_schema(
        operation_id="set_category_mappings",
        summary="Replace the mappings",
        description="Only people may: mappings are for all tenants.",
        parameters=[_PROTOCOL],
        request=MappingsForm,
        responses=CategoryMappings,
        tags=_TAG,
    )
    def update(self, request: Request, protocol: str) -> Response:
        known = _protocol(protocol)
        mappings = [LabelMapping(**row) for row in self.read(MappingsForm)["mappings"]]
        with transaction.atomic():
            queue_writers()
            check_if_match(request, _tag(mappings_of(known)))
            return _shown(known, set_category_mappings(protocol=known, mappings=mappings, by=self.actor))


def _protocol(name: str) -> ForeignProtocol:
    try:
        return ForeignProtocol(name)
    except ValueError:
        raise NotFound(
            f"There is no protocol {name[:40]!r}; the protocols are {', '.join(ForeignProtocol)}."
        ) from None


def _shown(protocol: ForeignProtocol, mappings: list[LabelMapping]) -> Response:
    body = {
        "protocol": protocol,
        "categories": CATEGORIES[protocol],
        "mappings": [one._asdict() for one in mappings],
    }
    return Response(body, headers={"ETag": _tag(mappings)})


def _tag(mappings: list[LabelMapping]) -> str:
    return f'"{hashlib.sha256(repr(sorted(mappings)).encode()).hexdigest()[:20]}"'
