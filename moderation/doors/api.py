"""The views of moderation and of decisions, as OpenAPI describes them."""

from collections.abc import Mapping
from typing import Any, ClassVar, cast
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponse
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from inference.doors.entry import ShortDispatch
from inference.doors.rest.api import DEADLINE
from inference.doors.rest.serializers import Base
from moderation.cases.selectors import hidden_decisions
from moderation.deciding.answers import answer_for, stored_explanation
from moderation.deciding.findings import Findings
from moderation.deciding.models import Decision
from moderation.deciding.selectors import (
    decision_by_request_id,
    decisions,
    decisions_of_tenant,
    newer_decisions,
)
from moderation.doors.door import REST, moderate_in_view
from moderation.review.finals import finals_standing
from moderation.review.models import FinalDecision
from moderation.review.serializers import StandingAnswer
from moderation.rights import ModerationRight
from registry.access.authentication import ApiKeyAuthentication
from registry.access.key_ring import Principal
from registry.kit.api import HasRight, RegistryViewSet
from registry.kit.api.lists import StrictFilters

_TAG = ["moderation"]


class ContentForm(Base):
    """A content to be moderated: text, pictures, or both."""

    text = serializers.CharField(required=False)
    title = serializers.CharField(required=False)
    image = serializers.CharField(required=False, help_text="A picture in base64, or as a data URI.")
    image_url = serializers.CharField(
        required=False, help_text="Fetched from a host of ROUNDHOUSE_ITEM_HOSTS."
    )
    images = serializers.ListField(child=serializers.CharField(), required=False)
    image_urls = serializers.ListField(child=serializers.CharField(), required=False)
    content_id = serializers.CharField(
        required=False,
        help_text="Your id of the content. Sent again with another text, the new decision counts.",
    )
    author_id = serializers.CharField(required=False)
    context = serializers.CharField(
        required=False, help_text="Where it appears, such as comments; chooses the policy."
    )  # type: ignore[assignment]  # the metaclass removes it
    language = serializers.CharField(required=False, help_text="Such as en or pt-BR.")
    thread = serializers.CharField(required=False)
    url = serializers.CharField(required=False, help_text="Where people find the content.")
    do_not_store = serializers.BooleanField(
        required=False, help_text="Keep nothing of it, not even the decision."
    )


class SensitivePiece(Base):
    label = serializers.CharField()  # type: ignore[assignment]
    text = serializers.CharField(allow_null=True)
    part = serializers.CharField()
    start = serializers.IntegerField(help_text="In code points.")
    end = serializers.IntegerField()
    score = serializers.FloatField()


class Category(Base):
    effect = serializers.ChoiceField(["note", "review", "block"])
    score = serializers.FloatField()


class EvidenceBox(Base):
    x1 = serializers.FloatField()
    y1 = serializers.FloatField()
    x2 = serializers.FloatField()
    y2 = serializers.FloatField()


class EvidenceRow(Base):
    """Which rule found what, where, and the cut-off that its score passed."""

    code = serializers.CharField()
    rule = serializers.CharField()
    effect = serializers.ChoiceField(["note", "review", "block"])
    part = serializers.CharField(help_text="text, title, image, or image 2.")
    score = serializers.FloatField()
    cut_off = serializers.FloatField()
    detector = serializers.CharField(required=False)
    version = serializers.IntegerField(required=False)
    label = serializers.CharField(required=False)  # type: ignore[assignment]
    entry = serializers.CharField(required=False, help_text="Of a list.")
    distance = serializers.IntegerField(required=False, help_text="Of a picture's hash from the entry.")
    start = serializers.IntegerField(required=False)
    end = serializers.IntegerField(required=False)
    text = serializers.CharField(required=False, allow_null=True)
    box = EvidenceBox(required=False)


class ProblemRow(Base):
    """Why a person must decide although nothing was found."""

    code = serializers.CharField()
    detail = serializers.CharField()
    source = serializers.CharField(help_text="The detector, list or part that failed.")  # type: ignore[assignment]


class DetectorVersion(Base):
    version = serializers.IntegerField()
    preprocessing = serializers.CharField()


class DecisionAnswer(Base):
    request_id = serializers.CharField()
    decision = serializers.ChoiceField(["allow", "review", "block"])
    safe = serializers.BooleanField(
        allow_null=True, help_text="false for block, null while a person decides."
    )
    text_score = serializers.FloatField(
        allow_null=True, help_text="The highest score of the labels that rules look for."
    )
    image_score = serializers.FloatField(allow_null=True)
    violations = serializers.ListField(child=serializers.CharField())
    sensitive_info = SensitivePiece(many=True)
    categories = serializers.DictField(child=Category())
    evidence = EvidenceRow(many=True)
    problems = ProblemRow(many=True)
    held = serializers.BooleanField(
        help_text="In review, and something failed that may pass: it is decided again by itself."
    )
    policy = serializers.CharField()
    policy_revision = serializers.IntegerField()
    language = serializers.CharField(allow_null=True)
    detectors = serializers.DictField(child=DetectorVersion())
    stored = serializers.BooleanField()
    content_id = serializers.CharField(required=False)
    author_id = serializers.CharField(required=False)
    context = serializers.CharField(required=False)  # type: ignore[assignment]
    more_evidence = serializers.BooleanField(required=False, help_text="There is more than is listed.")


class StoredDecision(DecisionAnswer):
    received_at = serializers.DateTimeField()
    decided_at = serializers.DateTimeField()
    superseded = serializers.BooleanField(help_text="A newer decision about this content_id counts.")
    final = StandingAnswer(
        allow_null=True,
        help_text="What stands about the content; null while a person decides, and for contents that were allowed at once.",
    )

    def to_representation(self, decision: Any) -> dict[str, Any]:
        explanation = stored_explanation(decision)
        answer = answer_for(
            decision,
            policy=decision.policy.name,
            revision=decision.revision.number,
            explanation=explanation.without_words if decision.is_hidden else explanation,
            findings=Findings.from_bytes(decision.findings),
            is_stored=True,
        )
        finals: Mapping[UUID, FinalDecision] = cast("Any", self.context)["finals"]
        final = finals.get(decision.pk)
        standing = dict(StandingAnswer(final).data) if final is not None else None
        if standing is not None and decision.is_hidden:
            standing["notice"] = None  # it names the content's address
        return {
            **answer,
            "received_at": decision.received_at,
            "decided_at": decision.decided_at,
            "superseded": decision.is_superseded,
            "final": standing,
        }


_TEXT = OpenApiExample(
    "a comment",
    request_only=True,
    value={
        "text": "You are an idiot, get lost.",
        "content_id": "c-1",
        "context": "comments",
        "language": "en",
    },
)


class _ModerateView(ShortDispatch):
    authentication_classes = [ApiKeyAuthentication]
    permission_classes = [HasRight(ModerationRight.MODERATE)]

    def answer(self, request: Request) -> HttpResponse:
        return moderate_in_view(REST, request._request, cast("Principal", request.user))


class ModerateView(_ModerateView):
    @extend_schema(
        operation_id="moderate",
        summary="Moderate a content",
        description="One content, a list of them, or an object with a list in `contents`. A picture may also be the body"
        " itself, or a file of a form. The policy of the key's tenant and of the `context` decides; see docs/moderation.md."
        " Everything that fails means `review`.",
        parameters=[DEADLINE],
        examples=[_TEXT],
        request={"application/json": ContentForm},
        responses={200: DecisionAnswer},
        tags=_TAG,
    )
    def post(self, request: Request) -> HttpResponse:
        return self.answer(request)


class ModerateDefaultView(_ModerateView):
    @extend_schema(
        operation_id="moderate_default",
        summary="Moderate a content, at the root",
        description="The same as `/api/v1/moderate`, for clients of other moderation services.",
        parameters=[DEADLINE],
        examples=[_TEXT],
        request={"application/json": ContentForm},
        responses={200: DecisionAnswer},
        tags=_TAG,
    )
    def post(self, request: Request) -> HttpResponse:
        return self.answer(request)


class DecisionFilters(filters.FilterSet):  # type: ignore[misc]
    content_id = filters.CharFilter()
    author_id = filters.CharFilter()
    decision = filters.CharFilter(field_name="ruling")
    held = filters.BooleanFilter(field_name="next_try_at", lookup_expr="isnull", exclude=True)


class DecisionsView(RegistryViewSet[Decision]):
    """The decisions of the key's tenant, newest first."""

    rights: ClassVar[dict[str, Any]] = {
        "list": ModerationRight.READ_DECISIONS,
        "retrieve": ModerationRight.READ_DECISIONS,
    }
    queryset = Decision.objects.none()
    serializer_class = StoredDecision
    filter_backends = [StrictFilters]
    filterset_class = DecisionFilters
    finals: Mapping[UUID, FinalDecision] = {}  # of the decisions that are shown

    def get_queryset(self) -> QuerySet[Decision]:
        actor = self.actor
        rows = decisions() if actor.tenant_id is None else decisions_of_tenant(actor.tenant_id)
        return rows.annotate(is_superseded=newer_decisions(), is_hidden=hidden_decisions(actor))

    def paginate_queryset(self, queryset: Any) -> Any:
        page = super().paginate_queryset(queryset)
        self.finals = finals_standing(page or [])
        return page

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "finals": self.finals}

    @extend_schema(operation_id="list_decisions", summary="List decisions", tags=_TAG)
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)

    @extend_schema(
        operation_id="get_decision",
        summary="Show a decision",
        parameters=[OpenApiParameter("request_id", str, OpenApiParameter.PATH)],
        responses={200: StoredDecision},
        tags=_TAG,
    )
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        decision = decision_by_request_id(self.get_queryset(), kwargs["request_id"])
        self.finals = finals_standing([decision])
        return self.shown(decision)
