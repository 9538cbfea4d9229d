"""Appeals over HTTP: made, listed, looked up."""

from typing import Any, ClassVar

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from inference.doors.rest.serializers import Base
from moderation.appeals.models import MAX_APPEAL, Appeal
from moderation.appeals.services import appeal_answer, make_appeal
from moderation.appeals.transitions import AppealStatus
from moderation.deciding.named_contents import LanguageTag, NamedContent
from moderation.deciding.selectors import decision_that_counts
from moderation.errors import UnknownAppeal, UnknownDecision
from moderation.review.serializers import NoticeText
from moderation.rights import ModerationRight
from registry.access.authentication import ApiKeyAuthentication
from registry.kit.api import RegistryViewSet, idempotent

_EXAMPLE = OpenApiExample(
    "an author objects",
    request_only=True,
    value={"content_id": "c-1", "text": "It was a joke among friends."},
)


class NewAppeal(NamedContent):
    text = serializers.CharField(
        required=False,
        default="",
        allow_blank=True,
        max_length=MAX_APPEAL,
        help_text="What the author wrote.",
    )
    language = LanguageTag(
        required=False,
        default="",
        allow_blank=True,
        help_text="The author's; the content's if it is left out.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if bool(attrs.get("content_id")) == bool(attrs.get("request_id")):
            raise serializers.ValidationError("Send either `content_id` or `request_id`.")
        return attrs


class AppealSerializer(Base):
    id = serializers.IntegerField()
    status = serializers.ChoiceField(AppealStatus.choices)
    content_id = serializers.CharField()
    request_id = serializers.CharField(allow_null=True)
    author_id = serializers.CharField()
    contested_sequence = serializers.IntegerField(help_text="Of the final decision that is appealed.")
    made_at = serializers.DateTimeField()
    due_at = serializers.DateTimeField(help_text="When it should be answered.")
    answered_at = serializers.DateTimeField(allow_null=True)
    answer = NoticeText(allow_null=True, help_text="What to tell the author; null as long as it is open.")

    def to_representation(self, appeal: Appeal) -> dict[str, Any]:
        return appeal_answer(appeal)


class AppealFilters(filters.FilterSet):  # type: ignore[misc]
    status = filters.ChoiceFilter(choices=AppealStatus.choices)
    author_id = filters.CharFilter()
    content_id = filters.CharFilter(field_name="contested__decision__content_id")


@extend_schema(tags=["appeals"])
class AppealsView(RegistryViewSet[Appeal]):
    """For keys: appeals are the tenant's whose authors make them."""

    authentication_classes = [ApiKeyAuthentication]
    rights: ClassVar[dict[str, Any]] = dict.fromkeys(["list", "retrieve", "create"], ModerationRight.REPORT)
    queryset = Appeal.objects.none()
    serializer_class = AppealSerializer
    filterset_class = AppealFilters

    def get_queryset(self) -> QuerySet[Appeal]:
        rows = Appeal.objects.filter(tenant=self.actor.tenant_id)
        return rows.select_related("contested__decision")

    def get_object(self) -> Appeal:
        appeal = self.get_queryset().filter(pk=self.kwargs["pk"]).first()
        if appeal is None:
            raise UnknownAppeal(f"There is no appeal {self.kwargs['pk']}.")
        return appeal

    @extend_schema(
        operation_id="make_appeal",
        summary="Appeal a restriction",
        description="For the content's author. Another person than the one who decided decides again. 409, with the code"
        " `nothing_to_appeal` and the reason, if nothing restricts the content, if it was appealed before, or if it is"
        " too late.",
        examples=[_EXAMPLE],
        request=NewAppeal,
        responses={201: AppealSerializer},
    )
    @idempotent()
    def create(self, request: Request) -> Response:
        body = self.read(NewAppeal)
        named = {name: body.pop(name) for name in ("content_id", "request_id") if name in body}
        decision = decision_that_counts(self.actor.tenant_id, **named)
        if decision is None:
            raise UnknownDecision("No content is known by this id, so there is nothing to appeal.")
        appeal = make_appeal(decision=decision, **body, by=self.actor)
        return self.created(appeal, location=f"/api/v1/appeals/{appeal.pk}")

    @extend_schema(operation_id="list_appeals", summary="List appeals, newest first")
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)

    @extend_schema(operation_id="get_appeal", summary="Show an appeal and its answer")
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        return super().retrieve(request, *args, **kwargs)
