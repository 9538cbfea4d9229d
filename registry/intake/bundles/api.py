"""Bundles over HTTP."""

from collections.abc import Mapping
from typing import Any, ClassVar

import structlog
from django.db.models import QuerySet
from django.http import FileResponse, HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from registry.access.policies import Right
from registry.catalogue.api import ModelViewSet
from registry.catalogue.models import Version
from registry.catalogue.selectors import versions_for
from registry.intake.bundles.services import bundle_name, make_bundle

log = structlog.get_logger("roundhouse.bundles")
_BYTES = "application/octet-stream"


@extend_schema(tags=["versions"])
class BundlesView(ModelViewSet[Version]):
    rights: ClassVar[Mapping[str, str]] = {"retrieve": Right.DOWNLOAD}
    queryset = Version.objects.none()
    lookup_field = "number"

    def get_queryset(self) -> QuerySet[Version]:
        return versions_for(self.actor).filter(model=self.url_model())

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        return super().perform_content_negotiation(request, force=True)  # sent whatever Accept says

    @extend_schema(
        summary="Download a version as a bundle", operation_id="download_bundle",
        description="A signed file with the version, its configuration, examples and the Model's golden set, which `manage.py"
        " import_version` of another installation makes a version there. Each use is a line in the log.",
        responses={(200, _BYTES): OpenApiTypes.BINARY},
    )  # fmt: skip
    def retrieve(self, request: Request, slug: str, number: int) -> HttpResponseBase:  # type: ignore[override]
        version = self.get_object()
        bundle = make_bundle(version=version, by=self.actor)
        request_id = getattr(request._request, "request_id", "")
        log.info("bundle sent", version=str(version), asker=self.actor.name, request_id=request_id)
        headers = {"Cache-Control": "private, no-store"}
        return FileResponse(
            bundle, as_attachment=True, filename=bundle_name(version), content_type=_BYTES, headers=headers
        )
