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
from registry.catalogue.models import MAX_NOTES, MAX_TITLE
from registry.catalogue.task_kinds import TENSOR, task_choices
from registry.catalogue.validation import (
    MAX_AXES,
    MAX_COMMIT,
    MAX_DATA_SET,
    MAX_RUN_URL,
    MAX_TAG_VALUE,
    MAX_TRAINING_ITEMS,
)
from registry.errors import NotFound
from registry.intake import services
from registry.intake.assembly import MAX_DATA_FILES
from registry.intake.errors import LengthMissing, PartTooLarge
from registry.intake.models import MAX_NAME, Status, Upload
from registry.intake.selectors import uploads_of, uploads_with_ids
from registry.intake.services import MAX_PART_BYTES, NewModel
from registry.intake.source_formats import RequestedFormat
from registry.kit.api import RegistryViewSet, idempotent

Text = serializers.CharField
_ANY_STATE = OpenApiParameter("If-Match", exclude=True, location=OpenApiParameter.HEADER)


class UploadSerializer(serializers.ModelSerializer[Upload]):
    offset = serializers.IntegerField(
        source="received_bytes", read_only=True, help_text="Bytes received; the next part starts there."
    )
    model = Text(source="model_slug", read_only=True, help_text="Empty until the upload is complete.")
    version = serializers.IntegerField(source="version.number", read_only=True, allow_null=True, default=None)

    class Meta:
        model = Upload
        fields = [
            "id", "file_name", "size_bytes", "offset", "status", "failure", "sha256", "announced_sha256", "model",
            "version", "made_at", "touched_at",
        ]  # fmt: skip
        read_only_fields = fields


class NewUploadSerializer(serializers.Serializer[Any]):
    size_bytes = serializers.IntegerField(min_value=0)
    file_name = Text(max_length=4096, allow_blank=True, default="", trim_whitespace=False,
                     help_text=f"Only for display, up to {MAX_NAME} characters; it is never used as a path.")  # fmt: skip
    sha256 = Text(max_length=64, allow_blank=True, default="",
                  help_text="The whole file's, if you know it; a file with a different hash is refused.")  # fmt: skip
    model = Text(max_length=64, allow_blank=True, default="",
                 help_text="An existing Model; an unknown one is a 404 before you send the file.")  # fmt: skip


class ModelToMakeSerializer(serializers.Serializer[Any]):
    title = Text(max_length=MAX_TITLE, allow_blank=True, default="")
    task = serializers.ChoiceField(choices=task_choices(), default=TENSOR)


class TrainingSerializer(serializers.Serializer[Any]):
    run_url = Text(max_length=MAX_RUN_URL, required=False, allow_blank=True,
                   help_text="The page of the run that made the model; http or https.")  # fmt: skip
    git_commit = Text(max_length=MAX_COMMIT, required=False, allow_blank=True)
    data_set = Text(max_length=MAX_DATA_SET, required=False, allow_blank=True,
                    help_text="The data that it was trained with, in your words.")  # fmt: skip
    metrics = serializers.DictField(
        child=serializers.FloatField(), required=False,
        help_text=f'Numbers by name, such as `{{"rmse": 1.5}}`; at most {MAX_TRAINING_ITEMS}.',
    )  # fmt: skip
    tags = serializers.DictField(
        child=Text(max_length=MAX_TAG_VALUE, allow_blank=True), required=False,
        help_text=f"Texts by name; at most {MAX_TRAINING_ITEMS}.",
    )  # fmt: skip


class CompleteSerializer(serializers.Serializer[Any]):
    model = Text(max_length=64, help_text="The Model that gets the file as its next version.")
    new_model = ModelToMakeSerializer(
        allow_null=True, default=None, help_text="Creates the Model, which must not exist yet."
    )
    data_uploads = serializers.ListField(
        child=serializers.UUIDField(), max_length=MAX_DATA_FILES, default=list,
        help_text="Your uploads of the other files: the model's weights, which are merged into the file, and files that"
        " belong to its task, such as `tokenizer.json`, `vocab.txt`, `config.json` and `tokenizer_config.json`. They get the"
        " status `taken`.",
    )  # fmt: skip
    drop_zipmap = serializers.BooleanField(
        default=False,
        help_text="Remove the ZipMap of a classifier, so that it outputs its scores as a tensor.",
    )
    task_config = serializers.DictField(
        default=dict,
        help_text="What the Model's task needs to know, such as `labels`. A field that you leave out is filled in from"
        " a `config.json`, a `tokenizer_config.json` and a `preprocessor_config.json` that were sent with the model, and from"
        " the file itself: its metadata, or with `drop_zipmap` the ZipMap;"
        " if none of them states it, the answer is 422 `invalid_task_config`, with a pointer to the field.",
    )
    source_format = Text(
        max_length=16, allow_blank=True, default="",
        help_text="The format of a file that is to be converted, such as `torchscript`; by default it is recognised.",
    )  # fmt: skip
    source_options = serializers.DictField(
        child=Text(max_length=200), default=dict,
        help_text='What the format needs to know, such as `{"signature": "serving_default"}`.',
    )  # fmt: skip
    confirm_program = Text(
        max_length=MAX_NAME, allow_blank=True, default="",
        help_text="The file's name, to confirm that a file in a format that is a program may run when it is converted.",
    )  # fmt: skip
    input_shapes = serializers.DictField(
        child=serializers.ListField(child=serializers.IntegerField(min_value=1), max_length=MAX_AXES), default=dict,
        help_text='Sizes of inputs by name, such as `{"images": [1, 3, 320, 320]}`, for checks and warm-ups.',
    )  # fmt: skip
    training = TrainingSerializer(
        required=False, help_text="Where the model comes from. Stored in the version's `origin`."
    )
    notes = Text(max_length=MAX_NOTES, allow_blank=True, default="", trim_whitespace=False)


class SuggestionQuery(serializers.Serializer[Any]):
    task = serializers.ChoiceField(
        choices=task_choices(), default="", allow_blank=True,
        help_text="Without it, the task that the model file names, if it names one.",
    )  # fmt: skip
    data_uploads = serializers.ListField(
        child=serializers.UUIDField(), max_length=MAX_DATA_FILES, default=list,
        help_text="Your uploads of the other files, as for `complete`.",
    )  # fmt: skip


class SuggestionSerializer(serializers.Serializer[Any]):
    task = Text(help_text="Empty if you named none, and the file names none.")
    config = serializers.DictField(help_text="The fields of the task configuration that the files state.")
    missing = serializers.ListField(child=Text(), help_text="Fields that you have to state yourself.")


class OffsetSerializer(serializers.Serializer[Any]):
    offset = serializers.IntegerField(min_value=0)


def content_length(request: HttpRequest) -> int:
    """The Content-Length; raise LengthMissing if there is none."""
    text = request.META.get("CONTENT_LENGTH") or ""
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise LengthMissing
    return int(text)


class PartBody:
    """The raw body of a part."""

    def __init__(self, request: HttpRequest) -> None:
        self.length = content_length(request)
        if self.length > MAX_PART_BYTES:
            raise PartTooLarge(
                f"A part may have at most {MAX_PART_BYTES:,} bytes; this one has {self.length:,}. Send smaller parts."
            )
        self._read, self._left = request.read, self.length

    def read(self, size: int) -> bytes:
        piece = self._read(min(size, self._left))
        self._left = self._left - len(piece) if piece else 0
        return piece


@extend_schema_view(
    list=extend_schema(summary="List your open uploads", operation_id="list_uploads"),
    retrieve=extend_schema(summary="Show an upload and its progress", operation_id="show_upload"),
)
@extend_schema(tags=["uploads"])
class UploadsView(RegistryViewSet[Upload]):
    rights: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ["list", "retrieve", "create", "write", "suggest", "complete", "destroy"], Right.WRITE
    )
    queryset = Upload.objects.none()
    serializer_class = UploadSerializer

    def get_queryset(self) -> QuerySet[Upload]:
        uploads = uploads_of(self.actor)
        return uploads.filter(status=Status.OPEN) if self.action == "list" else uploads

    def get_object(self) -> Upload:
        try:
            upload = self.get_queryset().filter(pk=UUID(self.kwargs["pk"])).first()
        except ValueError:
            upload = None
        if upload is None:
            raise NotFound("You have no such upload.")
        return upload

    @extend_schema(
        summary="Start an upload", operation_id="begin_upload",
        request=NewUploadSerializer, responses={201: UploadSerializer},
    )  # fmt: skip
    @idempotent()
    def create(self, request: Request) -> Response:
        upload = services.begin_upload(**self.read(NewUploadSerializer), by=self.actor)
        return self.created(upload, location=f"/api/v1/uploads/{upload.pk}")

    @extend_schema(
        summary="Send a part of a file", operation_id="write_upload",
        description="The body is the raw bytes, at most 8 MiB, with a Content-Length. `offset` must be the upload's offset; "
        "a 409 `wrong_offset` response contains the right one. A part that was already received may be sent again.",
        request={"application/octet-stream": OpenApiTypes.BINARY}, responses=UploadSerializer,
        parameters=[OpenApiParameter("offset", int, required=True, description="Where the part starts."), _ANY_STATE],
    )  # fmt: skip
    def write(self, request: Request, pk: str) -> Response:
        body, upload = PartBody(request._request), self.get_object()
        query = OffsetSerializer(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        offset = query.validated_data["offset"]
        written = services.write_part(
            upload=upload, offset=offset, length=body.length, read=body.read, by=self.actor
        )
        return self.shown(written)

    @extend_schema(
        summary="Show what an upload states of a task's configuration", operation_id="suggest_task_config",
        description="`complete` fills in the same fields, unless `task_config` states them. A detector that Ultralytics"
        " exported states everything; a `config.json` states its labels. Changes nothing; the upload must be whole.",
        parameters=[SuggestionQuery], responses=SuggestionSerializer,
    )  # fmt: skip
    def suggest(self, request: Request, pk: str) -> Response:
        upload = self.get_object()
        query = SuggestionQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        data_uploads = uploads_with_ids(query.validated_data["data_uploads"], self.actor)
        found = services.suggest_task_config(
            upload=upload, data_uploads=data_uploads, task=query.validated_data["task"], by=self.actor
        )
        return Response(SuggestionSerializer(found).data)

    @extend_schema(
        summary="Complete an upload: create a version from it", operation_id="complete_upload",
        description="Completing it again returns the same version. A file that is not an ONNX model is refused, and its"
        " upload ends as failed; after any other error you can complete it again. A zip of one model and the files beside it,"
        " such as a folder that Hugging Face exported, is unpacked.",
        request=CompleteSerializer, responses={201: VersionSerializer},
    )  # fmt: skip
    def complete(self, request: Request, pk: str) -> Response:
        upload, data = self.get_object(), self.read(CompleteSerializer)
        new_model = data.pop("new_model")
        source = RequestedFormat(
            data.pop("source_format"), data.pop("source_options"), data.pop("confirm_program")
        )
        version = services.complete_upload(
            upload=upload,
            slug=data.pop("model"),
            new_model=NewModel(**new_model) if new_model is not None else None,
            data_uploads=uploads_with_ids(data.pop("data_uploads"), self.actor),
            source=source,
            **data,
            by=self.actor,
        )
        answer = VersionSerializer(version, context=self.get_serializer_context()).data
        location = f"/api/v1/models/{version.model.slug}/versions/{version.number}"
        return Response(answer, status=201, headers={"Location": location})

    @extend_schema(
        summary="Abandon an upload",
        operation_id="abandon_upload",
        responses={204: None},
        parameters=[_ANY_STATE],
    )
    def destroy(self, request: Request, pk: str) -> Response:
        services.abandon_upload(upload=self.get_object(), by=self.actor)
        return Response(status=204)
