"""Erasures over HTTP."""

from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from inference.doors.rest.serializers import Base
from moderation.deciding.contents import MAX_ID
from moderation.privacy.erasing import request_erasure
from moderation.privacy.models import Erasure, ErasureKind
from moderation.rights import ModerationRight
from registry.access.models import Tenant
from registry.errors import Invalid
from registry.kit.api import RegistryViewSet
from registry.kit.text import MAX_REASON

_TAG = ["moderation"]


class ErasureForm(Base):
    """What to erase: exactly one of the ids."""

    author_id = serializers.CharField(
        required=False, max_length=MAX_ID, trim_whitespace=False, help_text="All contents of this author."
    )
    content_id = serializers.CharField(
        required=False, max_length=MAX_ID, trim_whitespace=False, help_text="All versions of this content."
    )
    request_id = serializers.CharField(required=False, max_length=64, help_text="The content of one answer.")
    reason = serializers.CharField(
        max_length=MAX_REASON, help_text="Kept in the audit log, so it must not have the id in it."
    )
    tenant = serializers.CharField(
        required=False,
        help_text="For people; keys erase their own tenant's. Without it: contents that have no tenant.",
    )


class ErasureSerializer(serializers.ModelSerializer[Erasure]):
    removed = serializers.SerializerMethodField(help_text="How many of what were removed so far.")
    kept_cases = serializers.ListField(
        child=serializers.IntegerField(), help_text="The cases that keep contents on legal hold."
    )

    class Meta:
        model = Erasure
        fields = [
            "id",
            "kind",
            "status",
            "reason",
            "made_by",
            "made_at",
            "ended_at",
            "removed",
            "kept_count",
            "kept_cases",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.DictField(child=serializers.IntegerField()))
    def get_removed(self, erasure: Erasure) -> dict[str, int]:
        counts: dict[str, int] = erasure.removed
        return counts


class ErasuresView(RegistryViewSet[Erasure]):
    """The erasures of the key's tenant."""

    rights: ClassVar[dict[str, Any]] = {
        "create": ModerationRight.ERASE,
        "list": ModerationRight.ERASE,
        "retrieve": ModerationRight.ERASE,
    }
    queryset = Erasure.objects.none()
    serializer_class = ErasureSerializer

    def get_queryset(self) -> QuerySet[Erasure]:
        tenant_id = self.actor.tenant_id
        return Erasure.objects.all() if tenant_id is None else Erasure.objects.filter(tenant=tenant_id)

    @extend_schema(operation_id="list_erasures", summary="List erasures", tags=_TAG)
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)

    @extend_schema(operation_id="get_erasure", summary="Show how far an erasure is", tags=_TAG)
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        return super().retrieve(request, *args, **kwargs)

    @extend_schema(
        operation_id="erase_contents",
        summary="Erase contents",
        description="Removes everything that is stored about an author's contents, about a content, or about a request: "
        "texts, pictures, ids, decisions, notices, events and the files of moderation jobs. Poll the erasure until its `status`"
        " is `done`. The same request while it works is the same erasure. What is on legal hold is kept, and the cases "
        "are named.",
        request=ErasureForm,
        responses={202: ErasureSerializer},
        tags=_TAG,
    )
    def create(self, request: Request) -> Response:
        body = self.read(ErasureForm)
        ids = {kind: body[f"{kind}_id"] for kind in ErasureKind if f"{kind}_id" in body}
        if len(ids) != 1:
            raise Invalid("Name one of `author_id`, `content_id` and `request_id`.")
        kind, subject = ids.popitem()
        erasure = request_erasure(
            tenant=self._tenant(body.get("tenant")),
            kind=kind,
            subject=subject,
            reason=body["reason"],
            by=self.actor,
        )
        return self.shown(erasure, status=202)

    def _tenant(self, slug: str | None) -> Tenant | None:
        own = self.actor.tenant_id
        if own is None and slug is None:
            return None
        tenant = Tenant.objects.filter(**({"slug": slug} if slug is not None else {"pk": own})).first()
        if tenant is None:
            raise Invalid(f"There is no tenant {slug}.")
        return tenant
