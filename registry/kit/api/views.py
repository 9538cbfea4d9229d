"""The base of all view sets of the registry."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

from django.db import transaction
from django.db.models import Model as Row
from django.http import HttpResponse
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import GenericViewSet

from registry.kit.actors import Actor
from registry.kit.api.filters import StrictFilters
from registry.kit.api.paging import CursorPages
from registry.kit.api.parsers import StrictJSONParser
from registry.kit.api.permissions import RightsOfActions, actor_of
from registry.kit.api.preconditions import check_if_match, etag_of, is_unchanged
from registry.kit.api.schema import RegistrySchema

R = TypeVar("R", bound=Row)


class RegistryViewSet(GenericViewSet[R], ListModelMixin):
    """Lists and shows rows; actions that change them call `created` and `changed`."""

    rights: ClassVar[Mapping[str, str | tuple[str, ...]]] = {}  # action -> right; what is not here is denied
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
        """Return the validated body; DRF's ValidationError (422) names the fields that need attention."""
        serializer = serializer_class(
            data=self.request.data, context={**self.get_serializer_context(), **context}
        )
        serializer.is_valid(raise_exception=True)
        given: dict[str, Any] = serializer.validated_data
        return given

    def changed(self, change: Callable[[R], R]) -> Response:
        """Apply a change to the row in the URL, if it is still the one that If-Match names.

        The row is locked between the comparison and the change: of two callers with the same ETag, one gets 412.
        """
        with transaction.atomic():
            found = self.get_object()
            rows = type(found)._default_manager.select_for_update()
            row = rows.get(pk=found.pk)
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
