"""Models over HTTP."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access.policies import Right
from registry.access.serializers import LimitsSerializer
from registry.catalogue import selectors, services
from registry.catalogue.models import (
    MAX_BAKE_MINUTES,
    MAX_NOTES,
    MAX_TAG,
    MAX_TITLE,
    KeySource,
    Model,
)
from registry.catalogue.task_kinds import TENSOR, task_choices
from registry.kit.api import RegistryViewSet, idempotent
from registry.kit.text import MAX_REASON

Text = serializers.CharField


class ModelSerializer(serializers.ModelSerializer[Model]):
    owner = serializers.SlugRelatedField[User](slug_field="username", read_only=True, allow_null=True)
    tags = serializers.SlugRelatedField(slug_field="name", many=True, read_only=True)  # type: ignore[var-annotated]
    limits = LimitsSerializer(read_only=True)

    class Meta:
        model = Model
        fields = [
            "slug", "title", "task", "owner", "tags", "notes", "key_source", "key_field", "salt",
            "bake_minutes", "pool", "limits", "needs_approval", "split_revision", "revision", "created_at",
        ]  # fmt: skip
        read_only_fields = fields


class NewModelSerializer(serializers.Serializer[Any]):
    slug = Text(max_length=64)
    title = Text(max_length=MAX_TITLE, allow_blank=True, default="")
    notes = Text(max_length=MAX_NOTES, allow_blank=True, default="", trim_whitespace=False)
    task = serializers.ChoiceField(choices=task_choices(), default=TENSOR)
    tags = serializers.ListField(child=Text(max_length=MAX_TAG), default=list)


class ModelChangesSerializer(serializers.Serializer[Any]):
    title = Text(max_length=MAX_TITLE, allow_blank=True, required=False)
    notes = Text(max_length=MAX_NOTES, allow_blank=True, required=False, trim_whitespace=False)
    tags = serializers.ListField(child=Text(max_length=MAX_TAG), required=False)
    owner = serializers.SlugRelatedField[User](
        slug_field="username", queryset=User.objects.all(), allow_null=True, required=False
    )
    key_source = serializers.ChoiceField(choices=KeySource.choices, required=False)
    key_field = Text(max_length=100, allow_blank=True, required=False)
    bake_minutes = serializers.IntegerField(min_value=0, max_value=MAX_BAKE_MINUTES, required=False)
    pool = Text(max_length=64, required=False, help_text="Needs a reason; stop a live Model first.")
    limits = LimitsSerializer(allow_null=True, required=False)
    reason = Text(max_length=MAX_REASON, allow_blank=True, required=False)


class ModelFilters(filters.FilterSet):  # type: ignore[misc]  # the package has no type hints
    task = filters.ChoiceFilter(choices=task_choices)
    tag = filters.CharFilter(field_name="tags__name")
    owner = filters.CharFilter(field_name="owner__username")
    name = filters.CharFilter(field_name="slug", lookup_expr="startswith")


@extend_schema_view(
    list=extend_schema(summary="List Models", operation_id="list_models"),
    retrieve=extend_schema(summary="Show a Model", operation_id="show_model"),
)
@extend_schema(tags=["models"])
class ModelsView(RegistryViewSet[Model]):
    rights: ClassVar[Mapping[str, str]] = {
        "list": Right.READ, "retrieve": Right.READ, "create": Right.WRITE, "partial_update": Right.WRITE,
    }  # fmt: skip
    queryset = Model.objects.none()  # for the OpenAPI schema, which reads its fields
    serializer_class = ModelSerializer
    filterset_class = ModelFilters
    paging_order = "slug"
    lookup_field = "slug"

    def get_queryset(self) -> QuerySet[Model]:
        return selectors.models_for(self.actor)

    @extend_schema(
        summary="Create a Model", operation_id="create_model",
        request=NewModelSerializer, responses={201: ModelSerializer},
    )  # fmt: skip
    @idempotent()
    def create(self, request: Request) -> Response:
        model = services.create_model(**self.read(NewModelSerializer), by=self.actor)
        return self.created(model, location=f"/api/v1/models/{model.slug}")

    @extend_schema(
        summary="Edit a Model: texts, owner, routing key, pool, limits", operation_id="edit_model",
        request=ModelChangesSerializer, responses=ModelSerializer,
    )  # fmt: skip
    def partial_update(self, request: Request, slug: str) -> Response:
        data = self.read(ModelChangesSerializer)
        reason = data.pop("reason", "")
        changes = services.ModelChanges(**data)  # type: ignore[typeddict-item]  # the serializer has these fields
        return self.changed(
            lambda model: services.edit_model(model=model, changes=changes, reason=reason, by=self.actor)
        )
