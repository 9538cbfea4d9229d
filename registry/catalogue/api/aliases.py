"""Aliases, their moves and their guards over HTTP."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.contrib.auth.models import User
from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access.models import ApiKey
from registry.access.policies import Right
from registry.catalogue import selectors, services
from registry.catalogue.api import ChangeReasonSerializer, ModelViewSet
from registry.catalogue.models import (
    Alias,
    AliasGuard,
    AliasMove,
    Model,
)
from registry.catalogue.services.aliases import MAX_NAMED
from registry.errors import NotFound
from registry.kit.api import check_if_match, etag_of, idempotent
from registry.kit.text import MAX_REASON

Text = serializers.CharField


class NamedKeySerializer(serializers.ModelSerializer[ApiKey]):
    class Meta:
        model = ApiKey
        fields = ["id", "name"]
        read_only_fields = fields


class NamedSerializer(serializers.ModelSerializer[AliasGuard]):
    """The people and keys named in a guard."""

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


class AliasSerializer(serializers.ModelSerializer[Alias]):
    model = serializers.SlugRelatedField[Model](slug_field="slug", read_only=True)
    version = serializers.IntegerField(
        source="version.number", read_only=True, allow_null=True, default=None, help_text="null: retired"
    )

    guard = serializers.SerializerMethodField()

    class Meta:
        model = Alias
        fields = ["model", "name", "version", "guard", "revision"]
        read_only_fields = fields

    @extend_schema_field(NamedSerializer(allow_null=True))
    def get_guard(self, alias: Alias) -> Any:
        """Who may move it; null means everyone with the right to move aliases."""
        guard = self.context["guards"].get(alias.name)
        return NamedSerializer(guard).data if guard is not None else None


class MoveSerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField(min_value=1)
    reason = Text(max_length=MAX_REASON)
    expected_revision = serializers.IntegerField(min_value=0, required=False)


class AliasMoveSerializer(serializers.ModelSerializer[AliasMove]):
    version = serializers.IntegerField(source="version.number", read_only=True)

    class Meta:
        model = AliasMove
        fields = ["version", "from_at", "to_at", "moved_by", "reason"]
        read_only_fields = fields


@extend_schema_view(
    list=extend_schema(summary="List the aliases of a Model", operation_id="list_aliases"),
    retrieve=extend_schema(summary="Show an alias", operation_id="show_alias"),
)
@extend_schema(tags=["aliases"])
class AliasesView(ModelViewSet[Alias]):
    rights: ClassVar[Mapping[str, str]] = {
        "list": Right.READ, "retrieve": Right.READ, "update": Right.MOVE_ALIAS, "retire": Right.MOVE_ALIAS,
    }  # fmt: skip
    queryset = Alias.objects.none()
    serializer_class = AliasSerializer
    paging_order = "name"
    lookup_field = "name"

    def get_queryset(self) -> QuerySet[Alias]:
        return selectors.aliases_for(self.actor).filter(model=self.url_model())

    def get_serializer_context(self) -> dict[str, Any]:
        guards = selectors.guards_by_name(self.url_model()) if "slug" in self.kwargs else {}
        return {**super().get_serializer_context(), "guards": guards}

    @extend_schema(
        summary="Point an alias at a version; it is created if it does not exist", operation_id="move_alias",
        request=MoveSerializer, responses=AliasSerializer,
    )  # fmt: skip
    def update(self, request: Request, slug: str, name: str) -> Response:
        data = self.read(MoveSerializer)
        model = self.url_model()
        self._check_if_match(request, data)
        version = selectors.version_numbered(model, data.pop("version"))
        return self.shown(services.move_alias(model=model, name=name, version=version, **data, by=self.actor))

    @extend_schema(
        summary="Retire an alias, so that it points to no version", operation_id="retire_alias",
        request=ChangeReasonSerializer, responses=AliasSerializer,
    )  # fmt: skip
    @idempotent()
    def retire(self, request: Request, slug: str, name: str) -> Response:
        data = self.read(ChangeReasonSerializer)
        return self.shown(services.retire_alias(alias=self.get_object(), **data, by=self.actor))

    def _check_if_match(self, request: Request, data: dict[str, Any]) -> None:
        """Compare now; the service compares again inside its transaction."""
        present = self.get_queryset().filter(name=self.kwargs["name"]).first()
        if "If-Match" in request.headers:
            check_if_match(request, etag_of(present) if present else '""')
            data.setdefault("expected_revision", present.revision if present else 0)


@extend_schema_view(list=extend_schema(summary="List the moves of an alias", operation_id="list_alias_moves"))
@extend_schema(tags=["aliases"])
class AliasMovesView(ModelViewSet[AliasMove]):
    rights: ClassVar[Mapping[str, str]] = {"list": Right.READ}
    queryset = AliasMove.objects.none()
    serializer_class = AliasMoveSerializer

    def get_queryset(self) -> QuerySet[AliasMove]:
        return selectors.moves_for(self.actor).filter(
            alias__model=self.url_model(), alias__name=self.kwargs["name"]
        )


@extend_schema(tags=["aliases"])
@extend_schema_view(
    retrieve=extend_schema(
        summary="Show the guard of an alias: who may move it", operation_id="show_alias_guard"
    )
)
class GuardsView(ModelViewSet[AliasGuard]):
    rights: ClassVar[Mapping[str, str]] = {
        "retrieve": Right.READ, "update": Right.MANAGE_SETTINGS, "destroy": Right.MANAGE_SETTINGS,
    }  # fmt: skip
    queryset = AliasGuard.objects.none()
    serializer_class = GuardSerializer
    lookup_field = "name"

    def get_queryset(self) -> QuerySet[AliasGuard]:
        return selectors.guards_for(self.actor).filter(model=self.url_model())

    def get_object(self) -> AliasGuard:
        guard = self._present()
        if guard is None:
            raise NotFound(f"{self.kwargs['slug']}@{self.kwargs['name'][:64]} has no guard.")
        return guard

    @extend_schema(
        summary="Allow only these people and keys to move an alias, which need not exist yet",
        operation_id="guard_alias", request=NewGuardSerializer, responses=GuardSerializer,
    )  # fmt: skip
    def update(self, request: Request, slug: str, name: str) -> Response:
        data = self.read(NewGuardSerializer)
        if "If-Match" in request.headers:
            present = self._present()
            check_if_match(request, etag_of(present) if present else '""')
            data.setdefault("expected_revision", present.revision if present else 0)
        services.guard_alias(model=self.url_model(), name=name, **data, by=self.actor)
        return self.shown(self.get_object())

    @extend_schema(
        summary="Remove the guard of an alias", operation_id="unguard_alias",
        responses={204: None},
        parameters=[OpenApiParameter("reason", OpenApiTypes.STR, required=True, description="Stored with the change.")],
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
