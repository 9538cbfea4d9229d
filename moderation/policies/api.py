"""Policies over HTTP: drafts, revisions, publishing, approval and going back."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from moderation.policies import services
from moderation.policies.models import Policy, PolicyRevision, RuleDay
from moderation.policies.selectors import (
    policies_within,
    policy_named,
    revision_of,
    rule_days,
    waiting_revision,
)
from moderation.rights import ModerationRight
from registry.access.models import Tenant
from registry.access.policies import Right
from registry.kit.api import RegistryViewSet, idempotent
from registry.kit.text import MAX_REASON

_TAG = ["policies"]
_DAYS = 14

READ, EDIT, PUBLISH = (
    ModerationRight.READ_POLICIES,
    ModerationRight.EDIT_POLICIES,
    ModerationRight.PUBLISH_POLICIES,
)


class PolicyContent(serializers.JSONField):
    """`rules`, `default_language` and `language_detector`; docs/moderation.md describes them."""


class RevisionSerializer(serializers.ModelSerializer[PolicyRevision]):
    goes_back_to = serializers.SlugRelatedField[PolicyRevision](
        slug_field="number", read_only=True, allow_null=True
    )
    content = PolicyContent(read_only=True)

    class Meta:
        model = PolicyRevision
        fields = [
            "number", "status", "reason", "made_by", "made_at", "edited_by", "goes_back_to", "decided_by", "decided_at",
            "decision_reason", "content",
        ]  # fmt: skip
        read_only_fields = fields


class PolicySerializer(serializers.ModelSerializer[Policy]):
    tenant = serializers.SlugRelatedField[Tenant](slug_field="slug", read_only=True, allow_null=True)
    revision = serializers.IntegerField(
        source="current.number", read_only=True, allow_null=True, default=None
    )
    has_draft = serializers.SerializerMethodField()
    waiting = serializers.SerializerMethodField(help_text="The revision that waits for approval.")

    class Meta:
        model = Policy
        fields = [
            "name", "title", "tenant", "context", "needs_approval", "revision", "waiting", "has_draft", "draft_edits",
            "draft_by", "draft_at", "created_at", "retired_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_has_draft(self, policy: Policy) -> bool:
        return policy.draft_at is not None

    def get_waiting(self, policy: Policy) -> int | None:
        waiting = waiting_revision(policy)
        return waiting.number if waiting is not None else None


class NewPolicySerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=64)
    title = serializers.CharField(max_length=200, required=False, default="", allow_blank=True)
    tenant = serializers.SlugRelatedField[Tenant](
        slug_field="slug", queryset=Tenant.objects.all(), required=False, allow_null=True, default=None
    )
    context = serializers.CharField(max_length=64, required=False, default="", allow_blank=True)  # type: ignore[assignment]  # the metaclass removes it
    content = PolicyContent(required=False, default=None, allow_null=True)


class DraftSerializer(serializers.Serializer[Any]):
    content = PolicyContent()
    expected = serializers.IntegerField(
        required=False, allow_null=True, default=None, min_value=0,
        help_text="`draft_edits` as you saw it. If somebody saved the draft since, yours is refused.",
    )  # fmt: skip


class PolicyReasonSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=MAX_REASON)


class PublicationSerializer(PolicyReasonSerializer):
    expected = serializers.IntegerField(
        required=False, allow_null=True, default=None, min_value=0, help_text="`draft_edits` as you saw it."
    )


class ApprovalRuleSerializer(PolicyReasonSerializer):
    needs_approval = serializers.BooleanField()


class RuleDaySerializer(serializers.ModelSerializer[RuleDay]):
    class Meta:
        model = RuleDay
        fields = ["day", "rule", "is_shadow", "noted", "reviewed", "blocked", "decisive"]
        read_only_fields = fields


class RuleDaysSerializer(serializers.Serializer[Any]):
    days = RuleDaySerializer(many=True)


class _OfPolicies:
    """What the view sets have in common: a key reaches its tenant's policies, and those that are for all tenants."""

    def policy(self) -> Policy:
        return policy_named(self.kwargs["name"], within=policies_within(self.actor.tenant_id))  # type: ignore[attr-defined]


@extend_schema(tags=_TAG)
class PoliciesView(_OfPolicies, RegistryViewSet[Policy]):
    rights: ClassVar[dict[str, Any]] = {
        "list": READ, "retrieve": READ, "create": EDIT, "draft": READ, "save_draft": EDIT, "discard_draft": EDIT,
        "publish": PUBLISH, "request_publication": EDIT, "roll_back": PUBLISH, "retire": PUBLISH,
        "approval": Right.MANAGE_SETTINGS, "rule_days": READ,
    }  # fmt: skip
    queryset = Policy.objects.none()
    serializer_class = PolicySerializer
    lookup_field = "name"

    def get_queryset(self) -> QuerySet[Policy]:
        return policies_within(self.actor.tenant_id)

    @extend_schema(
        summary="Create a policy with a draft", request=NewPolicySerializer, responses={201: PolicySerializer}
    )
    @idempotent()
    def create(self, request: Request) -> Response:
        return self.created(services.create_policy(**self.read(NewPolicySerializer), by=self.actor))

    @extend_schema(summary="Show the draft, or what the current revision says", responses=OpenApiTypes.OBJECT)
    def draft(self, request: Request, name: str) -> Response:
        policy = self.policy()
        content = policy.draft if policy.draft is not None else policy.current and policy.current.content
        return Response(content or services.EMPTY)

    @extend_schema(summary="Replace the draft", request=DraftSerializer, responses=PolicySerializer)
    def save_draft(self, request: Request, name: str) -> Response:
        return self.shown(
            services.save_draft(policy=self.policy(), **self.read(DraftSerializer), by=self.actor)
        )

    @extend_schema(summary="Discard the draft", request=None, responses={200: PolicySerializer})
    def discard_draft(self, request: Request, name: str) -> Response:
        return self.shown(services.discard_draft(policy=self.policy(), by=self.actor))

    @extend_schema(
        summary="Publish the draft", request=PublicationSerializer, responses={201: RevisionSerializer}
    )
    @idempotent()
    def publish(self, request: Request, name: str) -> Response:
        body = self.read(PublicationSerializer)
        return _revision(services.publish(policy=self.policy(), **body, by=self.actor), 201)

    @extend_schema(
        summary="Request approval of the draft",
        request=PublicationSerializer,
        responses={201: RevisionSerializer},
    )
    @idempotent()
    def request_publication(self, request: Request, name: str) -> Response:
        body = self.read(PublicationSerializer)
        return _revision(services.request_publication(policy=self.policy(), **body, by=self.actor), 201)

    @extend_schema(
        summary="Go back to the revision before",
        request=PolicyReasonSerializer,
        responses={201: RevisionSerializer},
    )
    @idempotent()
    def roll_back(self, request: Request, name: str) -> Response:
        body = self.read(PolicyReasonSerializer)
        return _revision(services.roll_back_policy(policy=self.policy(), **body, by=self.actor), 201)

    @extend_schema(summary="Retire a policy", request=PolicyReasonSerializer, responses=PolicySerializer)
    def retire(self, request: Request, name: str) -> Response:
        return self.shown(
            services.retire_policy(policy=self.policy(), **self.read(PolicyReasonSerializer), by=self.actor)
        )

    @extend_schema(
        summary="Set whether a policy needs approval",
        request=ApprovalRuleSerializer,
        responses=PolicySerializer,
    )
    def approval(self, request: Request, name: str) -> Response:
        body = self.read(ApprovalRuleSerializer)
        return self.shown(services.set_policy_approval(policy=self.policy(), **body, by=self.actor))

    @extend_schema(summary="Show what each rule did in the last 14 days", responses=RuleDaysSerializer)
    def rule_days(self, request: Request, name: str) -> Response:
        policy, since = self.policy(), timezone.now().date() - timedelta(days=_DAYS)
        services.check_own(policy, self.actor)  # the counts are of all tenants that share it
        return Response(RuleDaysSerializer({"days": rule_days(policy, since)}).data)


@extend_schema(tags=_TAG)
class PolicyRevisionsView(_OfPolicies, RegistryViewSet[PolicyRevision]):
    rights: ClassVar[dict[str, Any]] = {
        "list": READ, "retrieve": READ, "approve": PUBLISH, "reject": PUBLISH, "withdraw": EDIT,
    }  # fmt: skip
    queryset = PolicyRevision.objects.none()
    serializer_class = RevisionSerializer

    def get_queryset(self) -> QuerySet[PolicyRevision]:
        return self.policy().revisions.select_related("goes_back_to").all()

    def get_object(self) -> PolicyRevision:
        return revision_of(self.policy(), self.kwargs["number"])

    @extend_schema(
        summary="Approve and publish a revision", request=PolicyReasonSerializer, responses=RevisionSerializer
    )
    def approve(self, request: Request, name: str, number: int) -> Response:
        return self._end(services.approve_revision)

    @extend_schema(summary="Reject a revision", request=PolicyReasonSerializer, responses=RevisionSerializer)
    def reject(self, request: Request, name: str, number: int) -> Response:
        return self._end(services.reject_revision)

    @extend_schema(
        summary="Withdraw a request for approval",
        request=PolicyReasonSerializer,
        responses=RevisionSerializer,
    )
    def withdraw(self, request: Request, name: str, number: int) -> Response:
        return self._end(services.withdraw_revision)

    def _end(self, end: Callable[..., PolicyRevision]) -> Response:
        body = self.read(PolicyReasonSerializer)
        return _revision(end(revision=self.get_object(), **body, by=self.actor))


def _revision(revision: PolicyRevision, status: int = 200) -> Response:
    return Response(RevisionSerializer(revision).data, status=status)
