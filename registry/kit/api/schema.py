"""How the OpenAPI description tells of headers that whole families of operations read."""

from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key", OpenApiTypes.STR, OpenApiParameter.HEADER,
    description="Up to 255 characters of your choice. Repeating the request with the same key within 24 hours "
    "does not repeat the work, but gives the first answer again.",
)  # fmt: skip
_IF_MATCH = OpenApiParameter(
    "If-Match", OpenApiTypes.STR, OpenApiParameter.HEADER,
    description="The ETag you have seen. If it is no longer the present one, nothing is changed and the answer is 412.",
)  # fmt: skip


class RegistrySchema(AutoSchema):
    def get_override_parameters(self) -> list[Any]:
        handler = getattr(self.view, getattr(self.view, "action", None) or "", None)
        if self.method == "POST" and getattr(handler, "is_idempotent", False):
            return [IDEMPOTENCY_KEY]
        if self.method in {"PUT", "PATCH", "DELETE"}:
            return [_IF_MATCH]
        return []
