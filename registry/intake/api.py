"""Uploads over HTTP."""

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access.policies import Right
from registry.catalogue.api.versions import VersionSerializer
from registry.catalogue.models import MAX_NOTES, MAX_TITLE, Task
from registry.catalogue.validation import MAX_AXES
from registry.errors import NotFound
from registry.intake import services
from registry.intake.assembly import MOST_DATA_FILES
from registry.intake.errors import LengthMissing, PartTooLarge
from registry.intake.models import MAX_NAME, Upload
from registry.intake.selectors import uploads_of, uploads_with_ids
from registry.intake.services import MAX_PART_BYTES, NewModel
from registry.intake.transitions import Status
from registry.kit.api import RegistryViewSet, idempotent

Text = serializers.CharField
_ANY_STATE = OpenApiParameter("If-Match", exclude=True, location=OpenApiParameter.HEADER)


class UploadSerializer(serializers.ModelSerializer[Upload]):
    offset = serializers.IntegerField(
        source="received_bytes", read_only=True, help_text="Bytes that are here; the next part begins there."
    )
    model = Text(source="model_slug", read_only=True, help_text="Empty before it is complete.")
    version = serializers.IntegerField(source="version.number", read_only=True, allow_null=True, default=None)

    class Meta:
        model = Upload
        fields = [
            "id", "file_name", "size_bytes", "offset", "status", "failure", "sha256", "model", "version",
            "made_at", "touched_at",
        ]  # fmt: skip
        read_only_fields = fields


class NewUploadSerializer(serializers.Serializer[Any]):
    size_bytes = serializers.IntegerField(min_value=0)
    file_name = Text(max_length=4096, allow_blank=True, default="", trim_whitespace=False,
                     help_text=f"Shown to people, up to {MAX_NAME} characters of it; it never becomes a path.")  # fmt: skip
    sha256 = Text(max_length=64, allow_blank=True, default="",
                  help_text="Of the whole file, if you know it; other bytes are then refused.")  # fmt: skip
    model = Text(max_length=64, allow_blank=True, default="",
                 help_text="A Model that exists: 404 now where it does not, and not once the file is there.")  # fmt: skip


class ModelToMakeSerializer(serializers.Serializer[Any]):
    title = Text(max_length=MAX_TITLE, allow_blank=True, default="")
    task = serializers.ChoiceField(choices=Task.choices, default=Task.TENSOR)


class CompleteSerializer(serializers.Serializer[Any]):
    model = Text(max_length=64, help_text="The Model whose next version the file becomes.")
    new_model = ModelToMakeSerializer(
        allow_null=True, default=None, help_text="Given: the Model is made, and must not exist yet."
    )
    data_uploads = serializers.ListField(
        child=serializers.UUIDField(), max_length=MOST_DATA_FILES, default=list,
        help_text="Your whole uploads of the files that the model names for its weights. They are put inside the file,"
        " and end as taken.",
    )  # fmt: skip
    drop_zipmap = serializers.BooleanField(
        default=False, help_text="Remove the ZipMap of a classifier, and give out its scores as a tensor."
    )
    task_config = serializers.DictField(
        default=dict,
        help_text="`labels` and `scores` of a classification; with `drop_zipmap`, labels come from the file.",
    )
    input_shapes = serializers.DictField(
        child=serializers.ListField(child=serializers.IntegerField(min_value=1), max_length=MAX_AXES), default=dict,
        help_text='Sizes of inputs by name, such as `{"images": [1, 3, 320, 320]}`: what checks and warm-ups run it on.',
    )  # fmt: skip
    notes = Text(max_length=MAX_NOTES, allow_blank=True, default="", trim_whitespace=False)


class OffsetSerializer(serializers.Serializer[Any]):
    offset = serializers.IntegerField(min_value=0)


class Body:
    """The raw body of a part."""

    def __init__(self, request: HttpRequest) -> None:
        length = request.META.get("CONTENT_LENGTH") or ""
        if not (length.isascii() and length.isdigit()):
            raise LengthMissing
        self.length = int(length)
        if self.length > MAX_PART_BYTES:
            raise PartTooLarge(
                f"A part has at most {MAX_PART_BYTES:,} bytes, and this one {self.length:,}; send the file in more of them."
            )
        self._read, self._left = request.read, self.length

    def read(self, size: int) -> bytes:
        piece = self._read(min(size, self._left))
        self._left = self._left - len(piece) if piece else 0
        return piece


@extend_schema_view(
    list=extend_schema(summary="List your open uploads", operation_id="list_uploads"),
    retrieve=extend_schema(summary="Show how far an upload is", operation_id="show_upload"),
)
@extend_schema(tags=["uploads"])
class UploadsView(RegistryViewSet[Upload]):
    rights: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ["list", "retrieve", "create", "write", "complete", "destroy"], Right.WRITE
    )
    queryset = Upload.objects.none()
    serializer_class = UploadSerializer

    def get_queryset(self) -> QuerySet[Upload]:
        mine = uploads_of(self.actor)
        return mine.filter(status=Status.OPEN) if self.action == "list" else mine

    def get_object(self) -> Upload:
        try:
            upload = self.get_queryset().filter(pk=UUID(self.kwargs["pk"])).first()
        except ValueError:
            upload = None
        if upload is None:
            raise NotFound("There is no such upload of yours.")
        return upload

    @extend_schema(
        summary="Announce a file", operation_id="begin_upload",
        request=NewUploadSerializer, responses={201: UploadSerializer},
    )  # fmt: skip
    @idempotent()
    def create(self, request: Request) -> Response:
        upload = services.begin_upload(**self.read(NewUploadSerializer), by=self.actor)
        return self.created(upload, location=f"/api/v1/uploads/{upload.pk}")

    @extend_schema(
        summary="Send a part of a file", operation_id="write_upload",
        description="The body is the bytes themselves, at most 8 MiB, with a Content-Length. `offset` must be where the "
        "upload stands; 409 `wrong_offset` says where that is. A part that is there already may be sent again.",
        request={"application/octet-stream": OpenApiTypes.BINARY}, responses=UploadSerializer,
        parameters=[OpenApiParameter("offset", int, required=True, description="Where the part begins."), _ANY_STATE],
    )  # fmt: skip
    def write(self, request: Request, pk: str) -> Response:
        return self.shown(self._write(Body(request._request)))

    @extend_schema(
        summary="Make a version of a whole upload", operation_id="complete_upload",
        description="Completing it again answers with the same version. A file that is no ONNX model is refused, and its"
        " upload ends as failed; whatever else is refused may be completed again. A zip of one model and the files with"
        " its weights is unpacked.",
        request=CompleteSerializer, responses={201: VersionSerializer},
    )  # fmt: skip
    def complete(self, request: Request, pk: str) -> Response:
        upload, given = self.get_object(), self.read(CompleteSerializer)
        new_model = given.pop("new_model")
        data_uploads = uploads_with_ids(given.pop("data_uploads"), self.actor)
        version = services.complete_upload(
            upload=upload,
            slug=given.pop("model"),
            new_model=NewModel(**new_model) if new_model is not None else None,
            data_uploads=data_uploads,
            **given,
            by=self.actor,
        )
        data = VersionSerializer(version, context=self.get_serializer_context()).data
        location = f"/api/v1/models/{version.model.slug}/versions/{version.number}"
        return Response(data, status=201, headers={"Location": location})

    @extend_schema(
        summary="Give an upload up",
        operation_id="abandon_upload",
        responses={204: None},
        parameters=[_ANY_STATE],
    )
    def destroy(self, request: Request, pk: str) -> Response:
        services.abandon_upload(upload=self.get_object(), by=self.actor)
        return Response(status=204)

    def _write(self, body: Body) -> Upload:
        upload = self.get_object()
        given = OffsetSerializer(data=self.request.query_params.dict())
        given.is_valid(raise_exception=True)
        return services.write_part(
            upload=upload,
            offset=given.validated_data["offset"],
            length=body.length,
            read=body.read,
            by=self.actor,
        )
