"""The catalogue over HTTP."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpResponse
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access.policies import Right
from registry.access.serializers import LimitsSerializer
from registry.catalogue import selectors, services
from registry.catalogue.guards_api import NamedSerializer
from registry.catalogue.models import (
    MAX_BAKE_MINUTES,
    MAX_NOTES,
    MAX_TAG,
    MAX_TITLE,
    Alias,
    AliasMove,
    Artifact,
    KeySource,
    Model,
    ServingSettings,
    Task,
    Version,
)
from registry.catalogue.serializers import ChangeReasonSerializer
from registry.catalogue.serving_settings import GRAPH_LEVELS, MERGING, PROVIDERS
from registry.catalogue.transitions import Status
from registry.kit.api import RegistryViewSet, check_if_match, etag_of, idempotent
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
    task = serializers.ChoiceField(choices=Task.choices, default=Task.TENSOR)
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
    pool = Text(max_length=64, required=False, help_text="Needs a reason; a live Model is stopped first.")
    limits = LimitsSerializer(allow_null=True, required=False)
    reason = Text(max_length=MAX_REASON, allow_blank=True, required=False)


class VersionSerializer(serializers.ModelSerializer[Version]):
    model = serializers.SlugRelatedField[Model](slug_field="slug", read_only=True)
    sha256 = Text(source="artifact.sha256", read_only=True)
    size_bytes = serializers.IntegerField(source="artifact.size_bytes", read_only=True)
    task_config = serializers.DictField(read_only=True)
    input_shapes = serializers.DictField(
        read_only=True, help_text="Sizes of inputs that came with the file, by name."
    )
    origin = serializers.DictField(
        read_only=True,
        help_text="`files` that were sent and `changes` made to them; empty: the artifact is the file that was sent.",
    )
    signature = serializers.DictField(read_only=True, allow_null=True)
    derived_from = serializers.SerializerMethodField()

    class Meta:
        model = Version
        fields = [
            "model", "number", "status", "failure", "broken_at", "sha256", "size_bytes", "task_config", "input_shapes",
            "origin", "signature", "derived_from", "notes", "made_by", "created_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_derived_from(self, version: Version) -> str | None:
        """`model/number` of the version this one was made from."""
        parent = version.derived_from
        if parent is None or not self.context["view"].actor.may(Right.READ, model_id=parent.model_id):
            return None
        return f"{parent.model.slug}/{parent.number}"


class ArtifactSerializer(serializers.ModelSerializer[Artifact]):
    class Meta:
        model = Artifact
        fields = ["sha256", "size_bytes", "created_at"]
        read_only_fields = fields


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
        """Who may move it; null: whoever may move aliases."""
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


class ServingValuesSerializer(serializers.Serializer[Any]):
    target_p99_ms = serializers.FloatField(allow_null=True)
    max_batch_rows = serializers.IntegerField()
    batch_memory_bytes = serializers.IntegerField(
        allow_null=True,
        help_text="What runs of the largest batch may take; null: an eighth of what an engine may hold.",
    )
    merging = serializers.ChoiceField(
        choices=MERGING,
        help_text="Whether requests share a run: `proven` as the batch proof says, or a person's word for it.",
    )
    max_wait_ms = serializers.FloatField()
    max_queue_rows = serializers.IntegerField()
    max_queue_bytes = serializers.IntegerField()
    max_output_bytes = serializers.IntegerField(
        help_text="Of one request's answer, as tensors; a larger one is refused with `output_too_large`."
    )
    soft_limit_s = serializers.FloatField()
    providers = serializers.ListField(child=serializers.ChoiceField(choices=PROVIDERS))
    device_id = serializers.IntegerField()
    intra_op_threads = serializers.IntegerField(allow_null=True)
    graph_level = serializers.ChoiceField(choices=GRAPH_LEVELS)
    arena_limit_bytes = serializers.IntegerField(allow_null=True)
    allow_non_finite = serializers.BooleanField(
        help_text="Whether inputs of decimal numbers may hold NaN and infinities; in JSON, `null` is then NaN.",
    )


class SomeServingValues(ServingValuesSerializer):
    """Those that are to change."""

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        for field in fields.values():
            field.required = False
        return fields


@extend_schema_field(SomeServingValues)
class ServingChangesField(serializers.DictField):
    """Handed on as it came: the service knows the names and limits, and refuses what it does not know."""


class ServingSerializer(serializers.ModelSerializer[ServingSettings]):
    values = ServingValuesSerializer(read_only=True)

    class Meta:
        model = ServingSettings
        fields = ["revision", "is_current", "values", "reason", "made_by", "created_at"]
        read_only_fields = fields


class ServingChangeSerializer(serializers.Serializer[Any]):
    values = ServingChangesField(help_text="Only what is to change.")
    reason = Text(max_length=MAX_REASON)
    expected_revision = serializers.IntegerField(min_value=1, required=False)


class ModelFilters(filters.FilterSet):  # type: ignore[misc]  # the package carries no types
    task = filters.ChoiceFilter(choices=Task.choices)
    tag = filters.CharFilter(field_name="tags__name")
    owner = filters.CharFilter(field_name="owner__username")
    name = filters.CharFilter(field_name="slug", lookup_expr="startswith")


class VersionFilters(filters.FilterSet):  # type: ignore[misc]
    status = filters.ChoiceFilter(choices=Status.choices)
    sha256 = filters.CharFilter(field_name="artifact__sha256")


@extend_schema_view(
    list=extend_schema(summary="List Models", operation_id="list_models"),
    retrieve=extend_schema(summary="Show a Model", operation_id="show_model"),
)
@extend_schema(tags=["models"])
class ModelsView(RegistryViewSet[Model]):
    rights: ClassVar[Mapping[str, str]] = {
        "list": Right.READ, "retrieve": Right.READ, "create": Right.WRITE, "partial_update": Right.WRITE,
    }  # fmt: skip
    queryset = Model.objects.none()  # for the API's description, which looks at its fields
    serializer_class = ModelSerializer
    filterset_class = ModelFilters
    paging_order = "slug"
    lookup_field = "slug"

    def get_queryset(self) -> QuerySet[Model]:
        return selectors.models_for(self.actor)

    @extend_schema(
        summary="Make a Model", operation_id="create_model",
        request=NewModelSerializer, responses={201: ModelSerializer},
    )  # fmt: skip
    @idempotent()
    def create(self, request: Request) -> Response:
        model = services.create_model(**self.read(NewModelSerializer), by=self.actor)
        return self.created(model, location=f"/api/v1/models/{model.slug}")

    @extend_schema(
        summary="Change what is written about a Model, its routing key, its bake or its limits", operation_id="edit_model",
        request=ModelChangesSerializer, responses=ModelSerializer,
    )  # fmt: skip
    def partial_update(self, request: Request, slug: str) -> Response:
        given = self.read(ModelChangesSerializer)
        reason = given.pop("reason", "")
        changes = services.ModelChanges(**given)  # type: ignore[typeddict-item]  # the serializer has these fields
        return self.changed(
            lambda model: services.edit_model(model=model, changes=changes, reason=reason, by=self.actor)
        )


@extend_schema_view(
    list=extend_schema(summary="List the versions of a Model", operation_id="list_versions"),
    retrieve=extend_schema(summary="Show a version", operation_id="show_version"),
)
@extend_schema(tags=["versions"])
class VersionsView(RegistryViewSet[Version]):
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
        model = selectors.model_named(self.kwargs["slug"], self.actor)
        return selectors.versions_for(self.actor).filter(model=model)

    @extend_schema(
        summary="Put a version away", operation_id="archive_version",
        request=ChangeReasonSerializer, responses=VersionSerializer,
    )  # fmt: skip
    @idempotent()
    def archive(self, request: Request, slug: str, number: int) -> Response:
        given = self.read(ChangeReasonSerializer)
        return self.shown(services.archive_version(version=self.get_object(), **given, by=self.actor))

    @extend_schema(
        summary="Bring an archived version back", operation_id="unarchive_version",
        request=ChangeReasonSerializer, responses=VersionSerializer,
    )  # fmt: skip
    @idempotent()
    def unarchive(self, request: Request, slug: str, number: int) -> Response:
        given = self.read(ChangeReasonSerializer)
        return self.shown(services.unarchive_version(version=self.get_object(), **given, by=self.actor))

    @extend_schema(
        summary="Let a version that ended processes run like any other again", operation_id="clear_version",
        description="Only a person can, with a session: no key, whatever its scopes.",
        request=ChangeReasonSerializer, responses=VersionSerializer,
    )  # fmt: skip
    @idempotent()
    def clear(self, request: Request, slug: str, number: int) -> Response:
        given = self.read(ChangeReasonSerializer)
        return self.shown(services.clear_crashes(version=self.get_object(), **given, by=self.actor))


@extend_schema(tags=["versions"])
class ServingView(RegistryViewSet[ServingSettings]):
    rights: ClassVar[Mapping[str, str]] = {
        "list": Right.READ, "retrieve": Right.READ, "partial_update": Right.WRITE,
    }  # fmt: skip
    queryset = ServingSettings.objects.none()
    serializer_class = ServingSerializer
    paging_order = "-revision"

    def get_queryset(self) -> QuerySet[ServingSettings]:
        return selectors.serving_for(self.actor).filter(version=self._version())

    def get_object(self) -> ServingSettings:
        return self.get_queryset().get(is_current=True)

    @extend_schema(summary="List the revisions of a version's serving settings", operation_id="list_serving")
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)

    @extend_schema(summary="Show a version's serving settings", operation_id="show_serving")
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        return super().retrieve(request, *args, **kwargs)

    @extend_schema(
        summary="Change a version's serving settings", operation_id="change_serving",
        request=ServingChangeSerializer, responses=ServingSerializer,
    )  # fmt: skip
    def partial_update(self, request: Request, slug: str, number: int) -> Response:
        given = self.read(ServingChangeSerializer)
        present = self.get_object()
        check_if_match(request, etag_of(present))
        given.setdefault("expected_revision", present.revision)
        changed = services.change_serving(
            version=present.version, changes=given.pop("values"), **given, by=self.actor
        )
        return self.shown(changed)

    def _version(self) -> Version:
        model = selectors.model_named(self.kwargs["slug"], self.actor)
        return selectors.version_numbered(model, self.kwargs["number"])


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


@extend_schema_view(
    list=extend_schema(summary="List the aliases of a Model", operation_id="list_aliases"),
    retrieve=extend_schema(summary="Show an alias", operation_id="show_alias"),
)
@extend_schema(tags=["aliases"])
class AliasesView(RegistryViewSet[Alias]):
    rights: ClassVar[Mapping[str, str]] = {
        "list": Right.READ, "retrieve": Right.READ, "update": Right.MOVE_ALIAS, "retire": Right.MOVE_ALIAS,
    }  # fmt: skip
    queryset = Alias.objects.none()
    serializer_class = AliasSerializer
    paging_order = "name"
    lookup_field = "name"

    def get_queryset(self) -> QuerySet[Alias]:
        return selectors.aliases_for(self.actor).filter(model=self._model())

    def get_serializer_context(self) -> dict[str, Any]:
        guards = selectors.guards_by_name(self._model()) if "slug" in self.kwargs else {}
        return {**super().get_serializer_context(), "guards": guards}

    @extend_schema(
        summary="Point an alias at a version, making it if it is new", operation_id="move_alias",
        request=MoveSerializer, responses=AliasSerializer,
    )  # fmt: skip
    def update(self, request: Request, slug: str, name: str) -> Response:
        given = self.read(MoveSerializer)
        model = self._model()
        self._check_if_match(request, given)
        version = selectors.version_numbered(model, given.pop("version"))
        return self.shown(
            services.move_alias(model=model, name=name, version=version, **given, by=self.actor)
        )

    @extend_schema(
        summary="Let an alias point nowhere", operation_id="retire_alias",
        request=ChangeReasonSerializer, responses=AliasSerializer,
    )  # fmt: skip
    @idempotent()
    def retire(self, request: Request, slug: str, name: str) -> Response:
        given = self.read(ChangeReasonSerializer)
        return self.shown(services.retire_alias(alias=self.get_object(), **given, by=self.actor))

    def _check_if_match(self, request: Request, given: dict[str, Any]) -> None:
        """Compare now, and let the service compare again inside its transaction."""
        present = self.get_queryset().filter(name=self.kwargs["name"]).first()
        if "If-Match" in request.headers:
            check_if_match(request, etag_of(present) if present else '""')
            given.setdefault("expected_revision", present.revision if present else 0)

    def _model(self) -> Model:
        return selectors.model_named(self.kwargs["slug"], self.actor)


@extend_schema_view(
    list=extend_schema(summary="List where an alias pointed", operation_id="list_alias_moves")
)
@extend_schema(tags=["aliases"])
class AliasMovesView(RegistryViewSet[AliasMove]):
    rights: ClassVar[Mapping[str, str]] = {"list": Right.READ}
    queryset = AliasMove.objects.none()
    serializer_class = AliasMoveSerializer

    def get_queryset(self) -> QuerySet[AliasMove]:
        model = selectors.model_named(self.kwargs["slug"], self.actor)
        return selectors.moves_for(self.actor).filter(alias__model=model, alias__name=self.kwargs["name"])
