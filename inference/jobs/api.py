"""Jobs over HTTP."""

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpResponse, StreamingHttpResponse
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from inference.jobs import orders, selectors, services
from inference.jobs.bodies import MEDIA_TYPE_OF, LeaveUnread, is_order
from inference.jobs.models import Format, Job
from inference.jobs.serializers import (
    CancelSerializer,
    ChunkSerializer,
    FileQuerySerializer,
    JobSerializer,
    NewJobSerializer,
    RetrySerializer,
    address_of,
)
from inference.jobs.transitions import ENDED, ChunkStatus, Status
from registry.access.key_ring import Principal
from registry.access.policies import Right
from registry.errors import NotFound
from registry.kit.api import RegistryViewSet, idempotent
from registry.kit.api.views import IDEMPOTENCY_KEY

COMPLETE_HEADER = "X-Job-Complete"
_BYTES = "application/octet-stream"
_READ = (Right.READ, Right.PREDICT)
_CHANGE = (Right.PREDICT, Right.MANAGE_JOBS)
_LONGEST_WAIT_S = 30

_EXAMPLES = [
    OpenApiExample(
        "rows in the request", request_only=True, media_type="application/json",
        value={"model": "ripeness", "instances": [[0.21, 0.79, 0.31], [0.8, 0.2, 0.9]]},
    ),
    OpenApiExample(
        "a file that was uploaded in parts", request_only=True, media_type="application/json",
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


def _files(*formats: Format) -> dict[tuple[int, str], OpenApiTypes]:
    """Files as answers; plain bytes first, because generators of clients know nothing else."""
    kinds = [_BYTES, *(MEDIA_TYPE_OF[kind].partition(";")[0] for kind in formats)]
    return {(200, kind): OpenApiTypes.BINARY for kind in kinds}


class JobFilters(filters.FilterSet):  # type: ignore[misc]  # the package carries no types
    model = filters.CharFilter(field_name="model__slug")
    version = filters.NumberFilter(field_name="version__number")
    status = filters.ChoiceFilter(choices=Status.choices)
    made_by = filters.CharFilter()
    created_after = filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    created_before = filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")


class ChunkFilters(filters.FilterSet):  # type: ignore[misc]  # the package carries no types
    status = filters.ChoiceFilter(choices=ChunkStatus.choices)


class _OneJob(RegistryViewSet[Job]):
    """Of the jobs in reach, the one in the address."""

    queryset = Job.objects.none()
    serializer_class = JobSerializer

    def get_object(self) -> Job:
        return self.the_job()

    def the_job(self) -> Job:
        try:
            job = selectors.jobs_in_reach(self.actor).filter(pk=UUID(self.kwargs["pk"])).first()
        except ValueError:
            job = None
        if job is None:
            raise NotFound("There is no such job, or you may not see it.")
        return job


def _digest_of(view: "JobsView") -> str:
    return view.came.digest


@extend_schema(tags=["jobs"])
class JobsView(RegistryViewSet[Job]):
    rights: ClassVar[Mapping[str, str | tuple[str, ...]]] = {"list": _READ, "create": Right.PREDICT}
    queryset = Job.objects.none()
    serializer_class = JobSerializer
    filterset_class = JobFilters
    parser_classes = [LeaveUnread]
    came: orders.Came
    paging_order = "-created_at"

    def get_queryset(self) -> QuerySet[Job]:
        return selectors.jobs_in_reach(self.actor)

    @extend_schema(summary="List jobs, the newest first", operation_id="list_jobs")
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)

    @extend_schema(
        summary="Ask for predictions that nobody waits for", operation_id="create_job",
        description="JSON with `rows`, `instances`, `inputs` or a file that is here already; or the file itself, of at "
        "most 64 MiB with a Content-Length, and everything else in the address. Its Content-Type says what it is "
        "(`text/csv`, `application/x-ndjson`, `application/octet-stream` for NPZ, `application/vnd.apache.parquet`), or "
        "`format` does. `Content-Encoding: gzip` is understood. The version is fixed now, whatever the split becomes.",
        parameters=[FileQuerySerializer, IDEMPOTENCY_KEY],
        request={"application/json": NewJobSerializer, _BYTES: OpenApiTypes.BINARY},
        responses={202: JobSerializer}, examples=_EXAMPLES,
    )  # fmt: skip
    def create(self, request: Request) -> HttpResponse:
        plain = request._request
        self.came = (
            orders.from_json(plain, self.actor) if is_order(plain) else orders.from_body(plain, self.actor)
        )
        with self.came:
            return self._accept(request)

    @idempotent(digest=_digest_of)
    def _accept(self, request: Request) -> HttpResponse:
        with transaction.atomic():
            self.came.take_upload(self.actor)
            who = request.user if isinstance(request.user, Principal) else None
            job = services.accept(self.came.order, by=self.actor, principal=who)
        response = self.shown(self.came.accepted(job), status=202)
        response["Location"] = address_of(job)
        return response


@extend_schema(tags=["jobs"])
class JobView(_OneJob):
    rights: ClassVar[Mapping[str, str | tuple[str, ...]]] = {
        "retrieve": _READ, "results": _READ, "errors": _READ, "cancel": _CHANGE, "retry": _CHANGE,
    }  # fmt: skip

    @extend_schema(
        summary="Show how far a job is", operation_id="show_job",
        description="While it is not over, `Retry-After` says when it is worth while to ask again.",
    )  # fmt: skip
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        response = super().retrieve(request, *args, **kwargs)
        job = self.the_job()
        if job.status not in ENDED:
            response["Retry-After"] = str(_wait_s(job))
        return response

    @extend_schema(
        summary="Take a job's results, in the order of its rows", operation_id="job_results",
        description=f"In the job's output format. `{COMPLETE_HEADER}: false` says that parts are still missing; what "
        "is there so far is sent.",
        responses=_files(*Format),
    )  # fmt: skip
    def results(self, request: Request, pk: str) -> StreamingHttpResponse:
        job = self.the_job()
        kind = Format(job.output_format)
        return _sent(job, "results", selectors.results_of(job), MEDIA_TYPE_OF[kind], kind.value)

    @extend_schema(
        summary="Take the rows that were left out, and why", operation_id="job_errors",
        description="One JSON object per line: the row's number, its id, what was wrong with it.",
        responses=_files(Format.JSONL),
    )  # fmt: skip
    def errors(self, request: Request, pk: str) -> StreamingHttpResponse:
        job = self.the_job()
        return _sent(job, "errors", selectors.errors_of(job), MEDIA_TYPE_OF[Format.JSONL], "jsonl")

    @extend_schema(
        summary="Cancel a job", operation_id="cancel_job",
        description="Parts that wait end at once; what a worker has in hand is thrown away. What was done stays.",
        request=CancelSerializer, responses=JobSerializer,
    )  # fmt: skip
    def cancel(self, request: Request, pk: str) -> Response:
        given = self.read(CancelSerializer)
        return self.shown(services.cancel(job=self.the_job(), **given, by=self.actor))

    @extend_schema(
        summary="Try a failed job's failed and dead parts again", operation_id="retry_job",
        description="What is done stays as it is.", request=RetrySerializer, responses=JobSerializer,
    )  # fmt: skip
    def retry(self, request: Request, pk: str) -> Response:
        given = self.read(RetrySerializer)
        return self.shown(services.retry(job=self.the_job(), **given, by=self.actor))


@extend_schema(tags=["jobs"])
class ChunksView(RegistryViewSet[Any]):
    rights: ClassVar[Mapping[str, str | tuple[str, ...]]] = {"list": _READ}
    queryset = Job.objects.none()
    serializer_class = ChunkSerializer
    filterset_class = ChunkFilters
    paging_order = "pk"

    def get_queryset(self) -> Any:
        return selectors.chunks_of(_OneJob.the_job(self))  # type: ignore[arg-type]

    @extend_schema(summary="List the parts that a job was cut into", operation_id="list_job_chunks")
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)


def _wait_s(job: Job) -> int:
    """A tenth of what is left, so that a caller who obeys asks a dozen times in all."""
    eta_s = selectors.progress_of(job).eta_s
    return max(1, min(_LONGEST_WAIT_S, round((eta_s or 0) / 10)))


def _sent(job: Job, what: str, pieces: Any, media_type: str, suffix: str) -> StreamingHttpResponse:
    answer = StreamingHttpResponse(pieces, content_type=media_type)
    answer["Content-Disposition"] = (
        f'attachment; filename="{job.model.slug}-{str(job.pk)[:8]}-{what}.{suffix}"'
    )
    answer[COMPLETE_HEADER] = "true" if job.status == Status.DONE else "false"
    answer["Cache-Control"] = "private, no-store"
    return answer
