"""Statements of reasons, authors, and how long queues are, over HTTP."""

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from inference.doors.rest.serializers import Base
from moderation.cases.models import Case
from moderation.deciding.models import Decision
from moderation.deciding.selectors import decision_by_request_id, decisions, decisions_of_tenant
from moderation.errors import NoStatement
from moderation.review.finals import stand_now, standing_final
from moderation.review.models import FinalDecision
from moderation.review.selectors import (
    all_waiting,
    author_record,
    queue_lengths,
    statement_lines,
    statements_between,
)
from moderation.review.serializers import AuthorSerializer, QueuesSerializer
from moderation.rights import ModerationRight
from registry.access.authentication import ApiKeyAuthentication
from registry.kit.api import RegistryViewSet

_READ = ModerationRight.READ_DECISIONS
_MOST_LINES = 10_000
_INCOMPLETE_MINUTES = 5
_LINES = "application/x-ndjson"


def _complete_until() -> datetime:
    """Statements of the last minutes may not be written yet, and whoever asks for periods would miss them."""
    return timezone.now() - timedelta(minutes=_INCOMPLETE_MINUTES)


class StatementQuery(Base):
    """Which statements, and how many in one answer."""

    since = serializers.DateTimeField(help_text="Decided from then on, such as 2030-01-31T00:00:00Z.")
    until = serializers.DateTimeField(
        required=False, help_text="Decided before; never later than five minutes ago, so that none is missed."
    )
    after = serializers.IntegerField(
        required=False, default=0, min_value=0, max_value=2**63 - 1, help_text="As the header `Link` says."
    )
    limit = serializers.IntegerField(required=False, default=1_000, min_value=1, max_value=_MOST_LINES)


@extend_schema(tags=["moderation"])
class StatementsView(RegistryViewSet[FinalDecision]):
    rights: ClassVar[dict[str, Any]] = {"list": _READ, "retrieve": _READ}
    queryset = FinalDecision.objects.none()
    pagination_class = None  # type: ignore[assignment]  # as DRF writes that there are no pages
    filter_backends = []

    @extend_schema(
        operation_id="list_statements",
        summary="Download statements of reasons",
        description="One JSON object a line, with the fields that the transparency database of the Digital Services Act takes,"
        " in the order in which they were decided. If there are more than `limit`, the header `Link` has the address of"
        ' the next ones, with `rel="next"`.',
        parameters=[StatementQuery],
        responses={(200, kind): OpenApiTypes.BINARY for kind in ("application/octet-stream", _LINES)},
    )
    def list(self, request: Request, *args: Any, **kwargs: Any) -> StreamingHttpResponse:  # type: ignore[override]
        asked = self._asked(request)
        ids = statements_between(
            self.actor.tenant_id,
            asked["since"],
            min(asked.get("until") or _complete_until(), _complete_until()),
            after=asked["after"],
            at_most=asked["limit"] + 1,
        )
        shown = ids[: asked["limit"]]
        response = StreamingHttpResponse(statement_lines(shown), content_type=_LINES)
        response["Cache-Control"] = "private, no-store"
        if len(ids) > len(shown):
            following = replace_query_param(request.build_absolute_uri(), "after", str(shown[-1]))
            response["Link"] = f'<{following}>; rel="next"'
        return response

    @extend_schema(
        operation_id="get_statement",
        summary="Show the statement of reasons for a decision",
        description="Of the restriction that stands now; 404 if nothing restricts the content.",
        parameters=[OpenApiParameter("request_id", str, OpenApiParameter.PATH)],
        responses={200: OpenApiTypes.OBJECT},
    )
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        tenant_id = self.actor.tenant_id
        within: QuerySet[Decision] = decisions() if tenant_id is None else decisions_of_tenant(tenant_id)
        decision = decision_by_request_id(within, kwargs["request_id"])
        stand_now(decision)
        final = standing_final(decision)
        if final is None or final.statement is None:
            raise NoStatement
        return Response(final.statement)

    @staticmethod
    def _asked(request: Request) -> dict[str, Any]:
        query = StatementQuery(data=request.query_params)
        unknown = sorted(set(request.query_params) - set(query.fields))
        if unknown:
            choices = ", ".join(query.fields)
            raise ValidationError(
                {name: [f"There is no such parameter; available: {choices}."] for name in unknown}
            )
        query.is_valid(raise_exception=True)
        asked: dict[str, Any] = query.validated_data
        return asked


@extend_schema(tags=["moderation"])
class AuthorsView(RegistryViewSet[FinalDecision]):
    """For keys: an author is somebody only together with the tenant whose id it is."""

    authentication_classes = [ApiKeyAuthentication]
    rights: ClassVar[dict[str, Any]] = {"retrieve": _READ}
    queryset = FinalDecision.objects.none()
    serializer_class = AuthorSerializer

    @extend_schema(
        operation_id="get_author",
        summary="Show what is known of an author",
        description="How many of their contents are restricted, their strikes, and the account actions that wait for a"
        " person. All counts are 0 for authors of whom nothing is known.",
        parameters=[OpenApiParameter("author_id", str, OpenApiParameter.PATH)],
        responses={200: AuthorSerializer},
    )
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        record = author_record(self.actor.tenant_id, kwargs["author_id"])
        return Response(AuthorSerializer(record).data)


@extend_schema(tags=["moderation"])
class QueuesView(RegistryViewSet[Case]):
    rights: ClassVar[dict[str, Any]] = {"show": _READ}
    queryset = Case.objects.none()

    @extend_schema(
        operation_id="list_review_queues",
        summary="Show how many cases wait",
        description="For monitoring: how many cases wait for a person, by queue, how many of them are overdue, and how long"
        " the oldest has waited. Keys see the cases of their tenant.",
        responses={200: QueuesSerializer},
    )
    def show(self, request: Request) -> Response:
        tenant_id, now = self.actor.tenant_id, timezone.now()
        queues = queue_lengths(tenant_id, now)
        lengths = {**asdict(all_waiting(tenant_id, now)), "queues": queues}
        return Response(QueuesSerializer(lengths).data)
