"""Downloads over HTTP: links for callers who may download, files for anyone with a link, and task files."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.urls import reverse
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access.policies import Right
from registry.catalogue import selectors, services
from registry.catalogue.api import ModelViewSet
from registry.catalogue.downloads import OpenArtifact, file_name_of, parse_range, sign_link
from registry.catalogue.errors import RangeNotSatisfiable
from registry.catalogue.models import Artifact, Version
from registry.kit.actors import Actor
from registry.kit.api import RegistryViewSet
from registry.kit.api.requests import is_unchanged

_BYTES = "application/octet-stream"


class DownloadLinkSerializer(serializers.Serializer[Any]):
    url = serializers.URLField(help_text="Needs no API key: anyone who has it can download the file.")
    expires_at = serializers.DateTimeField()
    sha256 = serializers.CharField()
    size_bytes = serializers.IntegerField()
    file_name = serializers.CharField()


@extend_schema(tags=["versions"])
class DownloadLinksView(ModelViewSet[Version]):
    rights: ClassVar[Mapping[str, str]] = {"create": Right.DOWNLOAD}
    queryset = Version.objects.none()
    lookup_field = "number"

    def get_queryset(self) -> QuerySet[Version]:
        return selectors.versions_for(self.actor).filter(model=self.url_model())

    @extend_schema(
        summary="Create a link to a version's file", operation_id="make_download_link",
        description="The link works for a few minutes, and only while its creator may download. Creating it is audited.",
        request=None, responses={201: DownloadLinkSerializer},
    )  # fmt: skip
    def create(self, request: Request, slug: str, number: int) -> Response:
        version = self.get_object()
        link = services.make_download_link(version=version, by=self.actor)
        answer = DownloadLinkSerializer({
            "url": request.build_absolute_uri(reverse("download", args=[sign_link(link)])),
            "expires_at": link.expires,
            "sha256": version.artifact.sha256,
            "size_bytes": version.artifact.size_bytes,
            "file_name": file_name_of(version),
        })  # fmt: skip
        return Response(answer.data, status=201, headers={"Cache-Control": "no-store"})


class FileViewSet(RegistryViewSet[Version]):
    """Views that send a stored file."""

    queryset = Version.objects.none()

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        return super().perform_content_negotiation(request, force=True)  # files are sent whatever Accept says

    def handle_exception(self, exc: Exception) -> Any:
        answer = super().handle_exception(exc)
        if isinstance(exc, RangeNotSatisfiable):
            answer["Content-Range"] = f"bytes */{exc.size_bytes}"
        return answer


@extend_schema(tags=["versions"])
class DownloadsView(FileViewSet):
    """The link carries the authorization; API keys and sessions are ignored."""

    authentication_classes = []
    permission_classes = []

    @extend_schema(
        summary="Download a version's file", operation_id="download_artifact", auth=[],
        description="`HEAD` works as well. The ETag is the file's SHA-256: compare it with the hash of the file you received.",
        parameters=[
            OpenApiParameter("link", str, OpenApiParameter.PATH, description="From the `url` of the link."),
            OpenApiParameter("Range", str, OpenApiParameter.HEADER,
                             description="One range, such as `bytes=1000-`, to resume after a lost connection."),
            OpenApiParameter("If-Range", str, OpenApiParameter.HEADER,
                             description="The ETag of the part you have; if the file differs, all of it is sent."),
            OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER, description="The ETag you have."),
        ],
        responses={
            (200, _BYTES): OpenApiTypes.BINARY,
            (206, _BYTES): OpenApiTypes.BINARY,
            304: OpenApiResponse(description="You already have this file."),
        },
    )  # fmt: skip
    def retrieve(self, request: Request, link: str) -> HttpResponseBase:  # type: ignore[override]
        request_id = getattr(request._request, "request_id", "")
        version, by = services.follow_link(link, request_id=request_id)
        return _send(request, version.artifact, file_name_of(version), version=version, by=by)


@extend_schema(tags=["versions"])
class TaskFilesView(FileViewSet, ModelViewSet[Version]):
    rights: ClassVar[Mapping[str, str]] = {"retrieve": Right.DOWNLOAD}
    lookup_field = "number"

    def get_queryset(self) -> QuerySet[Version]:
        return selectors.versions_for(self.actor).filter(model=self.url_model())

    @extend_schema(
        summary="Download one of a version's task files", operation_id="download_task_file",
        description="For names, see `task_files` of the version. `HEAD` and a `Range` work as well. The ETag is the file's"
                    " SHA-256. Each use is a line in the log.",
        parameters=[OpenApiParameter("name", str, OpenApiParameter.PATH, description="Such as `tokenizer.json`.")],
        responses={
            (200, _BYTES): OpenApiTypes.BINARY,
            (206, _BYTES): OpenApiTypes.BINARY,
            304: OpenApiResponse(description="You already have this file."),
        },
    )  # fmt: skip
    def retrieve(self, request: Request, slug: str, number: int, name: str) -> HttpResponseBase:  # type: ignore[override]
        version = self.get_object()
        file = services.task_file(version=version, name=name, by=self.actor)
        return _send(request, file, name, version=version, by=self.actor)


def _send(
    request: Request, artifact: Artifact, name: str, *, version: Version, by: Actor
) -> HttpResponseBase:
    """The file, or the part of it that the request names, as an attachment of this name."""
    size, tag = artifact.size_bytes, f'"{artifact.sha256}"'
    if is_unchanged(request, tag):
        return HttpResponse(status=304, headers={"ETag": tag})
    requested = parse_range(_range_header(request, tag), size)
    part = range(size) if requested is None else requested
    request_id = getattr(request._request, "request_id", "")
    log_fields = {"version": str(version), "file": name, "asker": by.name, "request_id": request_id}
    file = OpenArtifact(artifact, part, log_fields)
    if request.method == "HEAD":
        file.close()
        answer: HttpResponseBase = HttpResponse(content_type=_BYTES)
    else:
        answer = StreamingHttpResponse(file, content_type=_BYTES)
        answer.file_part = file.path, file.part  # type: ignore[attr-defined]  # for a server that sends files itself
    answer["Content-Disposition"] = str(content_disposition_header(as_attachment=True, filename=name))
    answer["Content-Length"] = str(len(part))
    answer["ETag"] = tag
    answer["Accept-Ranges"] = "bytes"
    answer["Cache-Control"] = "private, no-store"
    if requested is not None:
        answer.status_code = 206
        answer["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    return answer


def _range_header(request: Request, tag: str) -> str:
    """The Range header, unless If-Range names another file."""
    is_same_file = request.headers.get("If-Range", tag) == tag
    return request.headers.get("Range", "") if is_same_file else ""
