"""Versions, their serving settings and their artifacts over HTTP."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access.policies import Right
from registry.catalogue import selectors, services
from registry.catalogue.api import ChangeReasonSerializer, ModelViewSet
from registry.catalogue.models import (
    Artifact,
    Model,
    ServingSettings,
    Version,
)
from registry.catalogue.serving_settings import GRAPH_LEVELS, MERGING, PROVIDERS
from registry.catalogue.transitions import Status
from registry.kit.api import RegistryViewSet, check_if_match, etag_of, idempotent
from registry.kit.text import MAX_REASON

Text = serializers.CharField


class VersionSerializer(serializers.ModelSerializer[Version]):
    model = serializers.SlugRelatedField[Model](slug_field="slug", read_only=True)
    sha256 = Text(source="artifact.sha256", read_only=True)
    size_bytes = serializers.IntegerField(source="artifact.size_bytes", read_only=True)
    task_config = serializers.DictField(read_only=True)
    input_shapes = serializers.DictField(
        read_only=True, help_text="Sizes of inputs by name, as given with the file."
    )
    origin = serializers.DictField(
        read_only=True,
        help_text="The `files` that were sent and what was done with them (`changes`), unless one file stays as it is;"
        " `training`, where the version comes from, if that was stated; `converted`, how it was made from another format; and"
        " `bundles`, the installations that an imported version came through.",
    )
    source_sha256 = serializers.CharField(
        source="source.sha256", read_only=True, allow_null=True, default=None,
        help_text="The SHA-256 of the file that was sent, if it was converted to ONNX from another format.",
    )  # fmt: skip
    task_files = serializers.DictField(
        read_only=True, help_text="Files that the task needs, such as tokenizer.json: the SHA-256 of each."
    )
    preprocessing = Text(
        read_only=True,
        help_text="The pre-processing hash: versions with the same one turn requests and outputs into the same things.",
    )
    signature = serializers.DictField(read_only=True, allow_null=True)
    derived_from = serializers.SerializerMethodField()

    class Meta:
        model = Version
        fields = [
            "model", "number", "status", "failure", "broken_at", "sha256", "size_bytes", "source_format", "source_sha256",
            "source_options", "task_config", "task_files", "preprocessing", "input_shapes", "origin", "signature",
            "derived_from", "notes", "made_by", "created_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_derived_from(self, version: Version) -> str | None:
        """`model/number` of the version this one was derived from."""
        parent = version.derived_from
        if parent is None or not self.context["view"].actor.may(Right.READ, model_id=parent.model_id):
            return None
        return f"{parent.model.slug}/{parent.number}"


class ArtifactSerializer(serializers.ModelSerializer[Artifact]):
    class Meta:
        model = Artifact
        fields = ["sha256", "size_bytes", "created_at"]
        read_only_fields = fields


class ServingValuesSerializer(serializers.Serializer[Any]):
    target_p99_ms = serializers.FloatField(allow_null=True)
    max_batch_rows = serializers.IntegerField()
    batch_memory_bytes = serializers.IntegerField(
        allow_null=True,
        help_text="Memory for a run of the largest batch; null: an eighth of what an engine may use.",
    )
    merging = serializers.ChoiceField(
        choices=MERGING,
        help_text="Whether requests share a run: `proven` follows the batch proof, the others override it.",
    )
    max_wait_ms = serializers.FloatField()
    max_queue_rows = serializers.IntegerField()
    max_queue_bytes = serializers.IntegerField()
    max_output_bytes = serializers.IntegerField(
        help_text="Size of one request's answer as tensors; a larger one is refused with `output_too_large`."
    )
    soft_limit_s = serializers.FloatField()
    providers = serializers.ListField(child=serializers.ChoiceField(choices=PROVIDERS))
    device_id = serializers.IntegerField()
    intra_op_threads = serializers.IntegerField(allow_null=True)
    graph_level = serializers.ChoiceField(choices=GRAPH_LEVELS)
    arena_limit_bytes = serializers.IntegerField(allow_null=True)
    allow_non_finite = serializers.BooleanField(
        help_text="Whether floating-point inputs may contain NaN and infinities; `null` in JSON then means NaN.",
    )


class SomeServingValues(ServingValuesSerializer):
    """The settings to change."""

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        for field in fields.values():
            field.required = False
        return fields


@extend_schema_field(SomeServingValues)
class ServingChangesField(serializers.DictField):
    """Passed on unchecked; the service checks the names and values."""


class ServingSerializer(serializers.ModelSerializer[ServingSettings]):
    values = ServingValuesSerializer(read_only=True)

    class Meta:
        model = ServingSettings
        fields = ["revision", "is_current", "values", "reason", "made_by", "created_at"]
        read_only_fields = fields


class ServingChangeSerializer(serializers.Serializer[Any]):
    values = ServingChangesField(help_text="Only the settings to change.")
    reason = Text(max_length=MAX_REASON)
    expected_revision = serializers.IntegerField(min_value=1, required=False)


class VersionFilters(filters.FilterSet):  # type: ignore[misc]
    status = filters.ChoiceFilter(choices=Status.choices)
    sha256 = filters.CharFilter(field_name="artifact__sha256")


@extend_schema_view(
    list=extend_schema(summary="List the versions of a Model", operation_id="list_versions"),
    retrieve=extend_schema(summary="Show a version", operation_id="show_version"),
)
@extend_schema(tags=["versions"])
class VersionsView(ModelViewSet[Version]):
    rights: ClassVar[Mapping[str, str]] = {
        "list": Right.READ, "retrieve": Right.READ, "archive": Right.WRITE, "unarchive": Right.WRITE,
        "clear": Right.SET_SPLIT,
    }  # fmt: skip
    queryset = Version.objects.none()
    serializer_class = VersionSerializer
    filterset_class = VersionFilters
    paging_order = "-number"
    lookup_field = "number"

    def get_queryset(self) -> QuerySet[Version]:
        return selectors.versions_for(self.actor).filter(model=self.url_model())

    @extend_schema(
        summary="Archive a version", operation_id="archive_version",
        request=ChangeReasonSerializer, responses=VersionSerializer,
    )  # fmt: skip
    @idempotent()
    def archive(self, request: Request, slug: str, number: int) -> Response:
        data = self.read(ChangeReasonSerializer)
        return self.shown(services.archive_version(version=self.get_object(), **data, by=self.actor))

    @extend_schema(
        summary="Restore an archived version", operation_id="unarchive_version",
        request=ChangeReasonSerializer, responses=VersionSerializer,
    )  # fmt: skip
    @idempotent()
    def unarchive(self, request: Request, slug: str, number: int) -> Response:
        data = self.read(ChangeReasonSerializer)
        return self.shown(services.unarchive_version(version=self.get_object(), **data, by=self.actor))

    @extend_schema(
        summary="Clear the crashes of a version, so that it runs like any other", operation_id="clear_version",
        description="Only a logged-in person can do this; API keys cannot, whatever their scopes.",
        request=ChangeReasonSerializer, responses=VersionSerializer,
    )  # fmt: skip
    @idempotent()
    def clear(self, request: Request, slug: str, number: int) -> Response:
        data = self.read(ChangeReasonSerializer)
        return self.shown(services.clear_crashes(version=self.get_object(), **data, by=self.actor))


@extend_schema(tags=["versions"])
@extend_schema_view(
    list=extend_schema(
        summary="List the revisions of a version's serving settings", operation_id="list_serving"
    ),
    retrieve=extend_schema(summary="Show a version's serving settings", operation_id="show_serving"),
)
class ServingView(ModelViewSet[ServingSettings]):
    rights: ClassVar[Mapping[str, str]] = {
        "list": Right.READ, "retrieve": Right.READ, "partial_update": Right.WRITE,
    }  # fmt: skip
    queryset = ServingSettings.objects.none()
    serializer_class = ServingSerializer
    paging_order = "-revision"

    def get_queryset(self) -> QuerySet[ServingSettings]:
        return selectors.serving_for(self.actor).filter(version=self.url_version())

    def get_object(self) -> ServingSettings:
        return self.get_queryset().get(is_current=True)

    @extend_schema(
        summary="Change a version's serving settings", operation_id="change_serving",
        request=ServingChangeSerializer, responses=ServingSerializer,
    )  # fmt: skip
    def partial_update(self, request: Request, slug: str, number: int) -> Response:
        data = self.read(ServingChangeSerializer)
        present = self.get_object()
        check_if_match(request, etag_of(present))
        data.setdefault("expected_revision", present.revision)
        changed = services.change_serving(
            version=present.version, changes=data.pop("values"), **data, by=self.actor
        )
        return self.shown(changed)


@extend_schema_view(
    list=extend_schema(summary="List stored files", operation_id="list_artifacts"),
    retrieve=extend_schema(summary="Show a stored file's metadata", operation_id="show_artifact"),
)
@extend_schema(tags=["artifacts"])
class ArtifactsView(RegistryViewSet[Artifact]):
    rights: ClassVar[Mapping[str, str]] = {"list": Right.READ, "retrieve": Right.READ}
    queryset = Artifact.objects.none()
    serializer_class = ArtifactSerializer
    lookup_field = "sha256"

    def get_queryset(self) -> QuerySet[Artifact]:
        return selectors.artifacts_for(self.actor)
