"""Approvals over HTTP: requesting a split, and deciding on other people's requests."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access.policies import Right
from registry.catalogue.api import ChangeReasonSerializer, ModelViewSet
from registry.catalogue.models import Model
from registry.catalogue.selectors import models_for
from registry.kit.api import RegistryViewSet, check_if_match, etag_of, idempotent
from registry.kit.text import MAX_REASON
from registry.traffic import services
from registry.traffic.api import ArmSerializer, SharesSerializer, shares_of
from registry.traffic.gates import GateOutcome, gates_of
from registry.traffic.models import SplitRequest
from registry.traffic.selectors import by_number, requests_for
from registry.traffic.transitions import RequestStatus

Text = serializers.CharField


class GateSerializer(serializers.Serializer[Any]):
    name = Text()
    outcome = serializers.ChoiceField(choices=[outcome.value for outcome in GateOutcome])
    sentence = Text()


class RequestRowSerializer(serializers.ModelSerializer[SplitRequest]):
    model = serializers.SlugRelatedField[Model](slug_field="slug", read_only=True)
    arms = serializers.SerializerMethodField()
    shadows = serializers.SerializerMethodField()
    reason = Text(
        source="decision", read_only=True, help_text="The reason for the decision; empty while open."
    )
    split = serializers.IntegerField(
        source="split.number",
        read_only=True,
        allow_null=True,
        default=None,
        help_text="null if none was written",
    )

    class Meta:
        model = SplitRequest
        fields = [
            "id", "model", "status", "arms", "shadows", "seen_revision", "comment", "asked_by", "asked_at",
            "decided_by", "decided_at", "reason", "split",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(ArmSerializer(many=True))
    def get_arms(self, request: SplitRequest) -> Any:
        return _share_lines(request.arms)

    @extend_schema_field(ArmSerializer(many=True))
    def get_shadows(self, request: SplitRequest) -> Any:
        return _share_lines(request.shadows)


class RequestSerializer(RequestRowSerializer):
    gates = serializers.SerializerMethodField()

    class Meta(RequestRowSerializer.Meta):
        fields = [*RequestRowSerializer.Meta.fields, "gates"]
        read_only_fields = fields

    @extend_schema_field(GateSerializer(many=True))
    def get_gates(self, request: SplitRequest) -> Any:
        """The current results while the request is open; after a decision, the results at approval."""
        return gates_of(request)


class NewRequestSerializer(SharesSerializer):
    comment = Text(max_length=MAX_REASON, help_text="Why you need this split; shown to the approver.")


class RuleSerializer(serializers.Serializer[Any]):
    needed = serializers.BooleanField(help_text="Whether a second person's approval is needed.")
    reason = Text(max_length=MAX_REASON)


class ShownRuleSerializer(serializers.ModelSerializer[Model]):
    model = Text(source="slug", read_only=True)

    class Meta:
        model = Model
        fields = ["model", "needs_approval"]
        read_only_fields = fields


class RequestFilters(filters.FilterSet):  # type: ignore[misc]  # the package has no type hints
    status = filters.ChoiceFilter(choices=RequestStatus.choices)


class RequestFiltersOfAll(RequestFilters):
    model = filters.CharFilter(field_name="model__slug")


@extend_schema(tags=["requests"])
@extend_schema_view(
    list=extend_schema(summary="List the approval requests of all Models", operation_id="list_all_requests")
)
class AllRequestsView(RegistryViewSet[SplitRequest]):
    rights: ClassVar[Mapping[str, str]] = {"list": Right.READ}
    queryset = SplitRequest.objects.none()
    serializer_class = RequestRowSerializer
    filterset_class = RequestFiltersOfAll

    def get_queryset(self) -> QuerySet[SplitRequest]:
        return requests_for(self.actor)


@extend_schema(tags=["requests"])
@extend_schema_view(
    list=extend_schema(summary="List the approval requests of a Model", operation_id="list_requests")
)
class RequestsView(ModelViewSet[SplitRequest]):
    rights: ClassVar[Mapping[str, str]] = {
        "list": Right.READ, "retrieve": Right.READ, "create": Right.REQUEST_CHANGE,
        "approve": Right.APPROVE, "reject": Right.APPROVE, "withdraw": Right.REQUEST_CHANGE,
    }  # fmt: skip
    queryset = SplitRequest.objects.none()
    serializer_class = RequestSerializer
    filterset_class = RequestFilters

    def get_queryset(self) -> QuerySet[SplitRequest]:
        return requests_for(self.actor).filter(model=self.url_model())

    def get_serializer_class(self) -> type[RequestRowSerializer]:
        return RequestRowSerializer if self.action == "list" else RequestSerializer

    @extend_schema(summary="Show a request with its gates", operation_id="show_request")
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.shown(self.get_object())  # no 304: gate results can change when the row does not

    @extend_schema(
        summary="Request a split for another person to approve", operation_id="ask_for_split",
        request=NewRequestSerializer, responses={201: RequestSerializer},
    )  # fmt: skip
    @idempotent()
    def create(self, request: Request, slug: str) -> Response:
        data = self.read(NewRequestSerializer)
        model = self.url_model()
        check_if_match(request, etag_of(model))
        arms = shares_of(model, data.pop("arms"))
        shadows = shares_of(model, data.pop("shadows"))
        pk = services.ask_for_split(model=model, arms=arms, shadows=shadows, **data, by=self.actor).pk
        return self.created(self.get_queryset().get(pk=pk), location=f"/api/v1/models/{slug}/requests/{pk}")

    @extend_schema(
        summary="Approve a request, and write its split", operation_id="approve_request",
        description="Only a person with a session can do this, and not the requester.",
        request=ChangeReasonSerializer, responses=RequestSerializer,
    )  # fmt: skip
    @idempotent()
    def approve(self, request: Request, slug: str, pk: int) -> Response:
        return self._decide(services.approve_request)

    @extend_schema(
        summary="Reject a request", operation_id="reject_request",
        description="Only a person with a session can do this, and not the requester.",
        request=ChangeReasonSerializer, responses=RequestSerializer,
    )  # fmt: skip
    @idempotent()
    def reject(self, request: Request, slug: str, pk: int) -> Response:
        return self._decide(services.reject_request)

    @extend_schema(
        summary="Withdraw a request", operation_id="withdraw_request",
        request=ChangeReasonSerializer, responses=RequestSerializer,
    )  # fmt: skip
    @idempotent()
    def withdraw(self, request: Request, slug: str, pk: int) -> Response:
        return self._decide(services.withdraw_request)

    def _decide(self, verb: Callable[..., Any]) -> Response:
        data = self.read(ChangeReasonSerializer)
        split_request = self.get_object()
        check_if_match(self.request, etag_of(split_request))
        verb(request=split_request, **data, by=self.actor)
        return self.shown(self.get_object())


@extend_schema(tags=["requests"])
class RuleView(RegistryViewSet[Model]):
    rights: ClassVar[Mapping[str, str]] = {"change": Right.MANAGE_SETTINGS}
    queryset = Model.objects.none()
    serializer_class = ShownRuleSerializer
    lookup_field = "slug"

    def get_queryset(self) -> QuerySet[Model]:
        return models_for(self.actor)

    @extend_schema(
        summary="Set whether changes that give a version live share need a second person's approval",
        operation_id="set_approval_rule",
        request=RuleSerializer, responses=ShownRuleSerializer,
    )  # fmt: skip
    @idempotent()
    def change(self, request: Request, slug: str) -> Response:
        data = self.read(RuleSerializer)
        return self.changed(lambda model: services.set_approval_rule(model=model, **data, by=self.actor))


def _share_lines(shares: Mapping[str, int]) -> list[dict[str, int]]:
    return [{"version": number, "share": share} for number, share in by_number(shares)]
