"""Previews of policies over HTTP."""

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from moderation.deciding.models import PolicyPreview
from moderation.deciding.previews import request_preview
from moderation.policies.models import Policy
from moderation.policies.selectors import policies_within, policy_named
from moderation.policies.services import check_own
from moderation.rights import ModerationRight
from registry.kit.api import RegistryViewSet


class PreviewSerializer(serializers.ModelSerializer[PolicyPreview]):
    class Meta:
        model = PolicyPreview
        fields = [
            "id",
            "status",
            "done",
            "total",
            "result",
            "failure",
            "draft_edits",
            "made_by",
            "made_at",
            "ended_at",
        ]
        read_only_fields = fields


@extend_schema(tags=["policies"])
class PreviewsView(RegistryViewSet[PolicyPreview]):
    rights: ClassVar[dict[str, Any]] = {
        "create": ModerationRight.EDIT_POLICIES,
        "retrieve": ModerationRight.READ_POLICIES,
    }
    queryset = PolicyPreview.objects.none()
    serializer_class = PreviewSerializer

    def get_queryset(self) -> QuerySet[PolicyPreview]:
        return self._policy().previews.all()

    def get_object(self) -> PolicyPreview:
        return get_object_or_404(self.get_queryset(), pk=self.kwargs["preview"])

    def _policy(self) -> Policy:
        policy = policy_named(self.kwargs["name"], within=policies_within(self.actor.tenant_id))
        check_own(policy, self.actor)  # a preview shows decisions of all tenants that share the policy
        return policy

    @extend_schema(
        summary="Preview the draft",
        description="A worker decides the newest 100,000 stored decisions again with the draft. Poll the preview until its"
        " `status` is `done`.",
        request=None,
        responses={202: PreviewSerializer},
    )
    def create(self, request: Request, name: str) -> Response:
        return self.shown(request_preview(policy=self._policy(), by=self.actor), status=202)
