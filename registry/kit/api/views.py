"""The base of the registry's view sets, and its part in the OpenAPI description."""

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, ClassVar, TypeVar

from django.db import transaction
from django.db.models import Model as Row
from django.http import HttpResponse
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import ValidationError
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import GenericViewSet

from registry.kit.actors import Actor
from registry.kit.api.lists import CursorPages, StrictFilters
from registry.kit.api.requests import (
    NeededRights,
    RightsOfActions,
    StrictJSONParser,
    actor_of,
    check_if_match,
    etag_of,
    is_unchanged,
)

R = TypeVar("R", bound=Row)
_LONGEST_NAME, _MOST_NAMES = 80, 8

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key", OpenApiTypes.STR, OpenApiParameter.HEADER,
    description="Up to 255 characters of your choice. Repeating the request with the same key within 24 hours "
    "does not repeat the work; it returns the first answer again.",
)  # fmt: skip
_IF_MATCH = OpenApiParameter(
    "If-Match", OpenApiTypes.STR, OpenApiParameter.HEADER,
    description="The ETag you have seen. If the object has changed since, the request is refused with 412.",
)  # fmt: skip


class RegistrySchema(AutoSchema):
    def get_override_parameters(self) -> list[Any]:
        handler = getattr(self.view, getattr(self.view, "action", None) or "", None)
        if self.method == "POST" and getattr(handler, "is_idempotent", False):
            return [IDEMPOTENCY_KEY]
        if self.method in {"PUT", "PATCH", "DELETE"}:
            return [_IF_MATCH]
        return []


class RegistryViewSet(GenericViewSet[R], ListModelMixin):
    """Lists and shows rows; actions that change them call `created` and `changed`."""

    rights: ClassVar[Mapping[str, NeededRights]] = {}  # action -> right; other actions are denied
    paging_order: ClassVar[str] = "-pk"
    permission_classes = [RightsOfActions]
    pagination_class = CursorPages
    filter_backends = [StrictFilters]
    parser_classes = [StrictJSONParser]
    schema = RegistrySchema()

    @property
    def actor(self) -> Actor:
        return actor_of(self.request)

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        row = self.get_object()
        if is_unchanged(request, etag_of(row)):
            return HttpResponse(status=304, headers={"ETag": etag_of(row)})
        return self.shown(row)

    def read(self, serializer_class: type[BaseSerializer[Any]], **context: Any) -> dict[str, Any]:
        """Return the validated body; DRF's ValidationError (422) names the fields that are wrong or unknown."""
        serializer = serializer_class(
            data=self.request.data, context={**self.get_serializer_context(), **context}
        )
        if not serializer.is_valid():
            errors: Any = serializer.errors
            raise ValidationError({**_unknown_fields(serializer, self.request.data), **errors})
        body: dict[str, Any] = serializer.validated_data
        return body

    def changed(self, change: Callable[[R], R]) -> Response:
        """Change the row in the URL, if its state is still the one that If-Match names.

        The row is locked between the comparison and the change: of two callers with the same ETag, one gets 412.
        """
        with transaction.atomic():
            unlocked = self.get_object()
            row = type(unlocked)._default_manager.select_for_update().get(pk=unlocked.pk)
            check_if_match(self.request, etag_of(row))
            change(row)
        return self.shown(self.get_object())

    def created(self, row: R, *, location: str | None = None, **more: Any) -> Response:
        response = self.shown(row, status=201, **more)
        if location:
            response["Location"] = location
        return response

    def shown(self, row: R, *, status: int = 200, **more: Any) -> Response:
        data = {**self.get_serializer(row).data, **more}
        return Response(data, status=status, headers={"ETag": etag_of(row)})


def _unknown_fields(serializer: BaseSerializer[Any], body: Any) -> dict[str, list[str]]:
    """What is wrong with each unknown field. Alone they are no error, but one of them may be a missing field misspelled."""
    known = [name for name, field in getattr(serializer, "fields", {}).items() if not field.read_only]
    if not isinstance(body, Mapping) or not known:
        return {}
    fields = ", ".join(f"`{name}`" for name in known)
    unknown = islice((str(name)[:_LONGEST_NAME] for name in body if name not in known), _MOST_NAMES)
    return {name: [f"Unknown; this address takes {fields}."] for name in unknown}
