"""Guards of aliases over HTTP."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.contrib.auth.models import User
from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access.models import ApiKey
from registry.access.policies import Right
from registry.catalogue import selectors, services
from registry.catalogue.models import AliasGuard, Model
from registry.catalogue.services.guards import MAX_NAMED
from registry.errors import NotFound
from registry.kit.api import RegistryViewSet, check_if_match, etag_of
from registry.kit.text import MAX_REASON


class NamedKeySerializer(serializers.ModelSerializer[ApiKey]):
    class Meta:
        model = ApiKey
        fields = ["id", "name"]
        read_only_fields = fields


class NamedSerializer(serializers.ModelSerializer[AliasGuard]):
    """Whom a guard names."""

    people = serializers.SlugRelatedField(slug_field="username", many=True, read_only=True)  # type: ignore[var-annotated]
    keys = NamedKeySerializer(many=True, read_only=True)

    class Meta:
        model = AliasGuard
        fields = ["people", "keys"]
        read_only_fields = fields


class GuardSerializer(NamedSerializer):
    model = serializers.SlugRelatedField[Model](slug_field="slug", read_only=True)

    class Meta(NamedSerializer.Meta):
        fields = ["model", "name", "people", "keys", "revision", "reason", "made_by", "made_at"]
        read_only_fields = fields


class NewGuardSerializer(serializers.Serializer[Any]):
    people = serializers.ListField(
        child=serializers.SlugRelatedField[User](slug_field="username", queryset=User.objects.all()),
        max_length=MAX_NAMED,
        default=list,
        help_text="User names.",
    )
    keys = serializers.ListField(
        child=serializers.PrimaryKeyRelatedField[ApiKey](queryset=ApiKey.objects.all()),
        max_length=MAX_NAMED,
        default=list,
        help_text="Ids of API keys.",
    )
    reason = serializers.CharField(max_length=MAX_REASON)
    expected_revision = serializers.IntegerField(min_value=0, required=False)


@extend_schema(tags=["aliases"])
class GuardsView(RegistryViewSet[AliasGuard]):
    rights: ClassVar[Mapping[str, str]] = {
        "retrieve": Right.READ, "update": Right.MANAGE_SETTINGS, "destroy": Right.MANAGE_SETTINGS,
    }  # fmt: skip
    queryset = AliasGuard.objects.none()
    serializer_class = GuardSerializer
    lookup_field = "name"

    def get_queryset(self) -> QuerySet[AliasGuard]:
        return selectors.guards_for(self.actor).filter(model=self._model())

    def get_object(self) -> AliasGuard:
        guard = self._present()
        if guard is None:
            raise NotFound(f"{self.kwargs['slug']}@{self.kwargs['name'][:64]} has no guard.")
        return guard

    @extend_schema(
        summary="Show who may move an alias, where its name is guarded", operation_id="show_alias_guard"
    )
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        return super().retrieve(request, *args, **kwargs)

    @extend_schema(
        summary="Let only these people and keys move an alias, whether or not there is one yet",
        operation_id="guard_alias", request=NewGuardSerializer, responses=GuardSerializer,
    )  # fmt: skip
    def update(self, request: Request, slug: str, name: str) -> Response:
        given = self.read(NewGuardSerializer)
        if "If-Match" in request.headers:
            present = self._present()
            check_if_match(request, etag_of(present) if present else '""')
            given.setdefault("expected_revision", present.revision if present else 0)
        services.guard_alias(model=self._model(), name=name, **given, by=self.actor)
        return self.shown(self.get_object())

    @extend_schema(
        summary="Let everybody who may move aliases move this one too", operation_id="unguard_alias",
        responses={204: None},
        parameters=[OpenApiParameter("reason", OpenApiTypes.STR, required=True, description="Kept with the change.")],
    )  # fmt: skip
    def destroy(self, request: Request, slug: str, name: str) -> Response:
        present = self.get_object()
        check_if_match(request, etag_of(present))
        services.unguard_alias(
            model=present.model,
            name=present.name,
            reason=request.query_params.get("reason", ""),
            expected_revision=present.revision,
            by=self.actor,
        )
        return Response(status=204)

    def _present(self) -> AliasGuard | None:
        return self.get_queryset().filter(name=self.kwargs["name"]).first()

    def _model(self) -> Model:
        return selectors.model_named(self.kwargs["slug"], self.actor)
