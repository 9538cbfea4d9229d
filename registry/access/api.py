from typing import Any

import django_filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from registry.access import services
from registry.access.models import ApiKey, Tenant
from registry.access.policies import Right, key_scopes
from registry.access.serializers import LimitsSerializer
from registry.kit.actors import every_model
from registry.kit.api import RegistryViewSet, actor_of, idempotent


class TenantSerializer(serializers.ModelSerializer[Tenant]):
    limits = LimitsSerializer(read_only=True)

    class Meta:
        model = Tenant
        fields = ["slug", "title", "limits", "created_at"]
        read_only_fields = ["created_at"]


class TenantChange(serializers.Serializer[Any]):
    title = serializers.CharField(max_length=200, allow_blank=True, required=False)
    limits = LimitsSerializer(allow_null=True, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs:
            raise serializers.ValidationError("Send a title, limits, or both.")
        return attrs


class NewTenant(serializers.Serializer[Any]):
    slug = serializers.CharField(
        max_length=64, help_text="1 to 64 lower-case letters, digits and inner hyphens."
    )
    title = serializers.CharField(max_length=200, allow_blank=True, default="")
    limits = LimitsSerializer(allow_null=True, required=False)


@extend_schema(tags=["access"])
class TenantsView(RegistryViewSet[Tenant]):
    rights = dict.fromkeys(["list", "retrieve", "create", "partial_update"], Right.MANAGE_KEYS)
    queryset = Tenant.objects.all()
    serializer_class = TenantSerializer
    lookup_field = "slug"
    filterset_fields = ["slug"]

    @extend_schema(summary="Create a tenant", request=NewTenant, responses={201: TenantSerializer})
    @idempotent()
    def create(self, request: Request) -> Response:
        tenant = services.create_tenant(**self.read(NewTenant), by=self.actor)
        return self.created(tenant, location=f"/api/v1/tenants/{tenant.slug}")

    @extend_schema(
        summary="Change a tenant's title or limits", request=TenantChange, responses=TenantSerializer
    )
    def partial_update(self, request: Request, slug: str) -> Response:
        body = self.read(TenantChange)
        return self.changed(lambda row: services.change_tenant(tenant=row, **body, by=self.actor))


class KeySerializer(serializers.ModelSerializer[ApiKey]):
    tenant = serializers.SlugRelatedField[Tenant](slug_field="slug", read_only=True)
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=list(key_scopes().items())))
    models = serializers.SerializerMethodField(
        help_text="Slugs of the Models that the key may use; null: all."
    )
    limits = LimitsSerializer(read_only=True)

    class Meta:
        model = ApiKey
        fields = [
            "id", "name", "prefix", "tenant", "scopes", "models", "limits", "expires_at", "last_used_at",
            "created_at", "revoked_at",
        ]  # fmt: skip

    def get_models(self, key: ApiKey) -> list[str] | None:
        return None if key.all_models else sorted(str(model) for model in key.only_models.all())


class IssuedKey(KeySerializer):
    key = serializers.CharField(
        help_text="The key itself, shown only in this response; null in a replayed response."
    )

    class Meta(KeySerializer.Meta):
        fields = [*KeySerializer.Meta.fields, "key"]


class KeyTerms(serializers.Serializer[Any]):
    """What a key may do. If `models` is null or left out, it may use all Models."""

    name = serializers.CharField(max_length=100)
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=list(key_scopes().items())), allow_empty=False
    )
    models = serializers.ListField(
        child=serializers.SlugRelatedField[Any](slug_field="slug", queryset=every_model()),
        allow_empty=False,
        allow_null=True,
        default=None,
    )
    expires_at = serializers.DateTimeField(allow_null=True, default=None)
    limits = LimitsSerializer(allow_null=True, required=False)

    def validate_models(self, models: list[Any] | None) -> list[int]:
        return [model.pk for model in models or []]


class NewKey(KeyTerms):
    tenant = serializers.SlugRelatedField[Tenant](slug_field="slug", queryset=Tenant.objects.all())


class Reason(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=500, allow_blank=True, default="")


class KeyFilters(django_filters.FilterSet):  # type: ignore[misc]  # the package has no type hints
    tenant = django_filters.CharFilter(field_name="tenant__slug")
    prefix = django_filters.CharFilter()
    revoked = django_filters.BooleanFilter(field_name="revoked_at", lookup_expr="isnull", exclude=True)


@extend_schema(tags=["access"])
class KeysView(RegistryViewSet[ApiKey]):
    rights = dict.fromkeys(["list", "retrieve", "create", "partial_update", "revoke"], Right.MANAGE_KEYS)
    queryset = ApiKey.objects.select_related("tenant").prefetch_related("only_models")
    serializer_class = KeySerializer
    filterset_class = KeyFilters
    lookup_value_converter = "int"

    @extend_schema(summary="Create a key", request=NewKey, responses={201: IssuedKey})
    @idempotent(forget=["key"])
    def create(self, request: Request) -> Response:
        key, text = services.issue_key(**self.read(NewKey), by=self.actor)
        response = self.created(key, location=f"/api/v1/keys/{key.pk}", key=text)
        response["Cache-Control"] = "no-store"
        return response

    @extend_schema(summary="Change what a key may do", request=KeyTerms, responses=KeySerializer)
    def partial_update(self, request: Request, pk: int) -> Response:
        return self.changed(lambda key: services.change_key(key=key, **self._terms(key), by=self.actor))

    @extend_schema(summary="Revoke a key", request=Reason, responses=KeySerializer)
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, pk: int) -> Response:
        body = self.read(Reason)
        return self.changed(lambda key: services.revoke_key(key=key, **body, by=self.actor))

    def _terms(self, key: ApiKey) -> dict[str, Any]:
        """Read the body; fields that it leaves out keep their values."""
        present = {
            "name": key.name,
            "scopes": key.scopes,
            "models": None if key.all_models else [str(model) for model in key.only_models.all()],
            "expires_at": key.expires_at,
            "limits": LimitsSerializer(key.limits).data,
        }
        body = self.request.data if isinstance(self.request.data, dict) else {}
        serializer = KeyTerms(data={**present, **body})
        serializer.is_valid(raise_exception=True)
        terms: dict[str, Any] = serializer.validated_data
        return terms


class Me(serializers.Serializer[Any]):
    """The caller, and what they may do."""

    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=["person", "key"])
    tenant = serializers.CharField(allow_null=True)
    rights = serializers.ListField(child=serializers.CharField())
    models = serializers.ListField(
        child=serializers.CharField(),
        allow_null=True,
        help_text="Slugs of the Models that the caller may use; null: all.",
    )


class IsAuthenticated(BasePermission):
    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.successful_authenticator is not None


class MeView(APIView):
    permission_classes = [IsAuthenticated]

    @extend_schema(summary="Who am I, and what may I do?", responses=Me, tags=["access"])
    def get(self, request: Request) -> Response:
        by = actor_of(request)
        tenant = None if by.tenant_id is None else Tenant.objects.get(pk=by.tenant_id)
        reach = None if by.models is None else every_model().filter(pk__in=by.models)
        return Response({
            "name": by.name,
            "kind": "person" if by.key_id is None else "key",
            "tenant": tenant and tenant.slug,
            "rights": sorted(by.rights),
            "models": None if reach is None else list(reach.values_list("slug", flat=True)),
        })  # fmt: skip
