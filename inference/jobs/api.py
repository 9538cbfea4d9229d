"""The jobs API."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpResponse, StreamingHttpResponse
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from inference.jobs import selectors, services, submissions
from inference.jobs.kinds import rights_to_submit
from inference.jobs.models import Format, Job, Store
from inference.jobs.policies import stores_for
from inference.jobs.serializers import (
    CancelSerializer,
    ChunkSerializer,
    FileQuerySerializer,
    JobSerializer,
    NewJobSerializer,
    RetrySerializer,
    StoreSerializer,
    job_url,
)
from inference.jobs.submissions import MEDIA_TYPE_OF, UnreadBodyParser, is_json
from inference.jobs.transitions import ENDED, ChunkStatus, Status
from registry.access.key_ring import Principal
from registry.access.policies import Right
from registry.catalogue.downloads import parse_range
from registry.errors import NotFound
from registry.kit.api import RegistryViewSet, idempotent
from registry.kit.api.requests import NeededRights
from registry.kit.api.views import IDEMPOTENCY_KEY

COMPLETE_HEADER = "X-Job-Complete"
_BYTES = "application/octet-stream"
_MAX_POLL_S = 30
_RANGE = OpenApiParameter(
    "Range",
    str,
    OpenApiParameter.HEADER,
    description="Of a job that is done: one range, such as `bytes=1000-`, to resume after a lost connection.",
)
_EXAMPLES = [
    OpenApiExample(
        "rows in the request", request_only=True, media_type="application/json",
        value={"model": "ripeness", "instances": [[0.21, 0.79, 0.31], [0.8, 0.2, 0.9]]},
    ),
    OpenApiExample(
        "file uploaded in parts", request_only=True, media_type="application/json",
        value={
            "model": "ripeness", "input": {"upload": "4b7c0a8e-6c0f-4a7e-9a55-1f0e4c7f2a10"}, "format": "csv",
            "gzip": True,
            "contract": {
                "columns": {"features": ["weight", "firmness", "hue"]}, "id": "fruit", "passthrough": ["orchard"],
                "on_row_error": "skip",
            },
            "on_done": {"task": "shop.harvest_scored", "queue": "shop"},
        },
    ),
]  # fmt: skip


def _to_read() -> tuple[str, ...]:
    return (Right.READ, *rights_to_submit())


def _to_change() -> tuple[str, ...]:
    return (Right.MANAGE_JOBS, *rights_to_submit())


def _files(*formats: Format) -> dict[tuple[int, str], OpenApiTypes]:
    """Responses that are files; plain bytes first, the only type that client generators understand."""
    kinds = [_BYTES, *(MEDIA_TYPE_OF[kind].partition(";")[0] for kind in formats)]
    return {(status, kind): OpenApiTypes.BINARY for status in (200, 206) for kind in kinds}


class JobFilters(filters.FilterSet):  # type: ignore[misc]  # the package has no type hints
    kind = filters.CharFilter()
    model = filters.CharFilter(field_name="model__slug")
    version = filters.NumberFilter(field_name="version__number")
    status = filters.ChoiceFilter(choices=Status.choices)
    made_by = filters.CharFilter()
    created_after = filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    created_before = filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")


class ChunkFilters(filters.FilterSet):  # type: ignore[misc]  # the package has no type hints
    status = filters.ChoiceFilter(choices=ChunkStatus.choices)


class _JobViewSet(RegistryViewSet[Job]):
    queryset = Job.objects.none()
    serializer_class = JobSerializer

    def get_object(self) -> Job:
        try:
            job = selectors.jobs_in_reach(self.actor).filter(pk=UUID(self.kwargs["pk"])).first()
        except ValueError:
            job = None
        if job is None:
            raise NotFound(
                "There is no such job, or you may not see it."
            )  # the same message for both, so that IDs cannot be probed
        return job


def _body_digest(view: "JobsView") -> str:
    return view.incoming.digest


@extend_schema_view(list=extend_schema(summary="List jobs, newest first", operation_id="list_jobs"))
@extend_schema(tags=["jobs"])
class JobsView(RegistryViewSet[Job]):
    rights: ClassVar[Mapping[str, NeededRights]] = {"list": _to_read, "create": rights_to_submit}
    queryset = Job.objects.none()
    serializer_class = JobSerializer
    filterset_class = JobFilters
    parser_classes = [UnreadBodyParser]
    incoming: submissions.IncomingJob
    paging_order = "-created_at"

    def get_queryset(self) -> QuerySet[Job]:
        return selectors.jobs_in_reach(self.actor)

    @extend_schema(
        summary="Start a job", operation_id="create_job",
        description="Send JSON with `rows`, `instances`, `inputs` or a file already on the server. Or send the file itself, "
        "at most 64 MiB, with a Content-Length, and everything else in the query string. The format is given by the "
        "Content-Type (`text/csv`, `application/x-ndjson`, `application/octet-stream` for NPZ, "
        "`application/vnd.apache.parquet`) or by `format`. `Content-Encoding: gzip` is supported. The version is fixed "
        "when the job is accepted, even if the split changes later. A job of another `kind` than `prediction` has no Model.",
        parameters=[FileQuerySerializer, IDEMPOTENCY_KEY],
        request={"application/json": NewJobSerializer, _BYTES: OpenApiTypes.BINARY},
        responses={202: JobSerializer}, examples=_EXAMPLES,
    )  # fmt: skip
    def create(self, request: Request) -> HttpResponse:
        plain = request._request
        read = submissions.from_json if is_json(plain) else submissions.from_body
        self.incoming = read(plain, self.actor)
        with self.incoming:
            return self._accept(request)

    @idempotent(digest=_body_digest)
    def _accept(self, request: Request) -> HttpResponse:
        with transaction.atomic():
            self.incoming.take_upload(self.actor)
            principal = request.user if isinstance(request.user, Principal) else None
            job = services.accept(self.incoming.submitted, by=self.actor, principal=principal)
        response = self.shown(self.incoming.accepted(job), status=202)
        response["Location"] = job_url(job)
        return response


@extend_schema(tags=["jobs"])
class JobView(_JobViewSet):
    rights: ClassVar[Mapping[str, NeededRights]] = {
        "retrieve": _to_read, "results": _to_read, "errors": _to_read, "cancel": _to_change, "retry": _to_change,
    }  # fmt: skip

    @extend_schema(
        summary="Show a job and its progress", operation_id="show_job",
        description="While the job is open, `Retry-After` says when to poll again.",
    )  # fmt: skip
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        response = super().retrieve(request, *args, **kwargs)
        job = self.get_object()
        if job.status not in ENDED:
            response["Retry-After"] = str(_poll_after_s(job))
        return response

    @extend_schema(
        summary="Download the results, in row order", operation_id="job_results",
        description=f"In the job's output format. `{COMPLETE_HEADER}: false` means that parts are still missing; the "
        "results so far are sent.",
        responses=_files(*MEDIA_TYPE_OF), parameters=[_RANGE],
    )  # fmt: skip
    def results(self, request: Request, pk: str) -> StreamingHttpResponse:
        job = self.get_object()
        kind = Format(job.output_format)
        return _download(request, job, "results", selectors.results_of, MEDIA_TYPE_OF[kind], kind.value)

    @extend_schema(
        summary="Download the skipped rows", operation_id="job_errors",
        description="One JSON object per line: row number, id and reason.",
        responses=_files(Format.JSONL), parameters=[_RANGE],
    )  # fmt: skip
    def errors(self, request: Request, pk: str) -> StreamingHttpResponse:
        job = self.get_object()
        return _download(request, job, "errors", selectors.errors_of, MEDIA_TYPE_OF[Format.JSONL], "jsonl")

    @extend_schema(
        summary="Cancel a job", operation_id="cancel_job",
        description="Waiting parts are cancelled, and the results of running parts are discarded. Finished parts are kept.",
        request=CancelSerializer, responses=JobSerializer,
    )  # fmt: skip
    def cancel(self, request: Request, pk: str) -> Response:
        given = self.read(CancelSerializer)
        return self.shown(services.cancel(job=self.get_object(), **given, by=self.actor))

    @extend_schema(
        summary="Retry the failed and dead parts of a failed job", operation_id="retry_job",
        description="Finished parts are kept.", request=RetrySerializer, responses=JobSerializer,
    )  # fmt: skip
    def retry(self, request: Request, pk: str) -> Response:
        given = self.read(RetrySerializer)
        return self.shown(services.retry(job=self.get_object(), **given, by=self.actor))


@extend_schema_view(list=extend_schema(summary="List the parts of a job", operation_id="list_job_chunks"))
@extend_schema(tags=["jobs"])
class ChunksView(RegistryViewSet[Any]):
    rights: ClassVar[Mapping[str, NeededRights]] = {"list": _to_read}
    queryset = Job.objects.none()
    serializer_class = ChunkSerializer
    filterset_class = ChunkFilters
    paging_order = "pk"

    def get_queryset(self) -> Any:
        return selectors.chunks_of(_JobViewSet.get_object(self))  # type: ignore[arg-type]


def _poll_after_s(job: Job) -> int:
    """A tenth of the remaining time, so that a well-behaved caller polls about a dozen times in all."""
    eta_s = selectors.progress_of(job).eta_s
    return max(1, min(_MAX_POLL_S, round((eta_s or 0) / 10)))


def _download(
    request: Request,
    job: Job,
    name: str,
    read: Callable[[Job], Iterator[bytes]],
    media_type: str,
    suffix: str,
) -> StreamingHttpResponse:
    is_complete = job.status == Status.DONE
    part, size = None, 0
    if (
        is_complete and "Range" in request.headers
    ):  # what is not complete may change until the rest is requested
        size = sum(len(piece) for piece in read(job))
        part = parse_range(request.headers["Range"], size)
    pieces = read(job) if part is None else _cut(read(job), part)
    response = StreamingHttpResponse(pieces, content_type=media_type)
    if part is not None:
        response.status_code = 206
        response["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    of = job.model.slug if job.model is not None else job.kind
    response["Content-Disposition"] = f'attachment; filename="{of}-{str(job.pk)[:8]}-{name}.{suffix}"'
    response[COMPLETE_HEADER] = "true" if is_complete else "false"
    response["Cache-Control"] = "private, no-store"
    return response


def _cut(pieces: Iterable[bytes], part: range) -> Iterator[bytes]:
    at = 0
    for piece in pieces:
        yield piece[max(part.start - at, 0) : part.stop - at]
        at += len(piece)
        if at >= part.stop:
            return


@extend_schema_view(
    list=extend_schema(summary="List the stores that your jobs may use", operation_id="list_job_stores")
)
@extend_schema(tags=["jobs"])
class StoresView(RegistryViewSet[Store]):
    """The stores that a caller's jobs may use; their locations are not revealed."""

    rights: ClassVar[Mapping[str, NeededRights]] = {"list": rights_to_submit}
    queryset = Store.objects.none()
    serializer_class = StoreSerializer
    paging_order = "name"

    def get_queryset(self) -> QuerySet[Store]:
        return stores_for(self.actor)
