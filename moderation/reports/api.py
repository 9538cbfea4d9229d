"""Reports over HTTP: made, listed, looked up."""

from typing import Any, ClassVar

from django.db import transaction
from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from inference.doors.rest.serializers import Base
from moderation.cases.models import MAX_CODE
from moderation.deciding.contents import MAX_ID
from moderation.deciding.models import Decision
from moderation.deciding.named_contents import LanguageTag, NamedContent
from moderation.errors import UnknownReport
from moderation.reports.models import MAX_REPORT, Report, ReportSource
from moderation.reports.reported_contents import reported_decision
from moderation.reports.services import make_report, open_report, report_answer
from moderation.reports.transitions import ReportStatus
from moderation.review.serializers import NoticeText
from moderation.rights import ModerationRight
from registry.access.authentication import ApiKeyAuthentication
from registry.kit.api import RegistryViewSet, idempotent

_EXAMPLES = [
    OpenApiExample(
        "a content that was moderated",
        request_only=True,
        value={
            "content_id": "c-1",
            "violation": "hate",
            "text": "He insults my family.",
            "reporter_id": "u-7",
        },
    ),
    OpenApiExample(
        "a content that is not known",
        request_only=True,
        value={"content": {"text": "You are an idiot, get lost.", "content_id": "c-2", "author_id": "u-9"}},
    ),
]


@extend_schema_field({"type": "object", "additionalProperties": {}})
class _ContentField(serializers.JSONField):
    """With the fields of `POST /api/v1/moderate`."""


class NewReport(NamedContent):
    content = _ContentField(
        required=False,
        help_text="The content itself, with the fields of `POST /api/v1/moderate`, if it was perhaps never moderated.",
    )
    violation = serializers.RegexField(
        r"^[a-z0-9_-]*$",
        required=False,
        default="",
        allow_blank=True,
        max_length=MAX_CODE,
        help_text="A violation code.",
    )
    text = serializers.CharField(
        required=False,
        default="",
        allow_blank=True,
        max_length=MAX_REPORT,
        help_text="What the reporter wrote.",
    )
    reporter_id = serializers.CharField(
        required=False,
        default="",
        allow_blank=True,
        max_length=MAX_ID,
        trim_whitespace=False,
        help_text="Your id of the reporter. Reporting the same content again returns the open report.",
    )
    language = LanguageTag(
        required=False, default="", allow_blank=True, help_text="The reporter's, in which they are answered."
    )
    source = serializers.ChoiceField(  # type: ignore[assignment]  # the metaclass removes it
        ReportSource.choices,
        required=False,
        default=ReportSource.USER,
        help_text="`notice`: of illegal content (Digital Services Act, article 16).",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        named = [name for name in ("content_id", "request_id") if attrs.get(name)]
        if len(named) == 2 or not (named or "content" in attrs):
            raise serializers.ValidationError("Send `content_id`, `request_id`, or the `content` itself.")
        if "request_id" in named and "content" in attrs:
            raise serializers.ValidationError("Beside a `request_id`, no `content` is needed.")
        return attrs


class ReportSerializer(Base):
    id = serializers.IntegerField()
    status = serializers.ChoiceField(ReportStatus.choices)
    content_id = serializers.CharField()
    request_id = serializers.CharField(allow_null=True)
    source = serializers.ChoiceField(ReportSource.choices)  # type: ignore[assignment]  # the metaclass removes it
    reporter_id = serializers.CharField()
    violation = serializers.CharField()
    made_at = serializers.DateTimeField()
    due_at = serializers.DateTimeField(help_text="When it should be answered.")
    answered_at = serializers.DateTimeField(allow_null=True)
    answer = NoticeText(allow_null=True, help_text="What to tell the reporter; null as long as it is open.")

    def to_representation(self, report: Report) -> dict[str, Any]:
        return report_answer(report)


class ReportFilters(filters.FilterSet):  # type: ignore[misc]
    status = filters.ChoiceFilter(choices=ReportStatus.choices)
    source = filters.ChoiceFilter(choices=ReportSource.choices)
    reporter_id = filters.CharFilter()
    content_id = filters.CharFilter(field_name="decision__content_id")


def _find_content(view: "ReportsView") -> None:
    view.body = view.read(NewReport)
    named = {
        name: view.body.pop(name) for name in ("content_id", "request_id", "content") if name in view.body
    }
    view.decision = reported_decision(**named, by=view.request.user)  # type: ignore[arg-type]


@extend_schema(tags=["reports"])
class ReportsView(RegistryViewSet[Report]):
    """For keys: reports are the tenant's whose users make them."""

    authentication_classes = [ApiKeyAuthentication]
    rights: ClassVar[dict[str, Any]] = dict.fromkeys(["list", "retrieve", "create"], ModerationRight.REPORT)
    queryset = Report.objects.none()
    serializer_class = ReportSerializer
    filterset_class = ReportFilters
    body: dict[str, Any]
    decision: Decision

    def get_queryset(self) -> QuerySet[Report]:
        return Report.objects.filter(tenant=self.actor.tenant_id).select_related("decision")

    def get_object(self) -> Report:
        report = self.get_queryset().filter(pk=self.kwargs["pk"]).first()
        if report is None:
            raise UnknownReport(f"There is no report {self.kwargs['pk']}.")
        return report

    @extend_schema(
        operation_id="make_report",
        summary="Report a content",
        description="Names a content that was moderated, or sends it: then it is moderated first, and stored. A person looks at"
        " it. Of a reporter who has an open report about the content, that one is returned, with the status 200.",
        examples=_EXAMPLES,
        request=NewReport,
        responses={201: ReportSerializer, 200: ReportSerializer},
    )
    @idempotent(prepare=_find_content)
    def create(self, request: Request) -> Response:
        code = self.body.pop("violation")
        with transaction.atomic():
            known = open_report(self.decision, self.body["reporter_id"])
            report = make_report(decision=self.decision, code=code, **self.body, by=self.actor)
        if report == known:
            return self.shown(report)
        return self.created(report, location=f"/api/v1/reports/{report.pk}")

    @extend_schema(operation_id="list_reports", summary="List reports, newest first")
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)

    @extend_schema(operation_id="get_report", summary="Show a report and its answer")
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        return super().retrieve(request, *args, **kwargs)
