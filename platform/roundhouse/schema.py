"""The OpenAPI description, in version 3.1, and in 3.0 for older generators."""

import hashlib
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from django.contrib.staticfiles import finders
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.templatetags.static import static
from django.utils.cache import get_conditional_response
from django.utils.decorators import method_decorator
from django.utils.http import quote_etag
from django.views import View
from django.views.decorators.cache import cache_control
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.plumbing import get_lib_doc_excludes
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from registry.kit.compute_lock import compute_lock

_PROBLEM = {
    "type": "object",
    "description": "An error (RFC 9457). `code` is stable; docs/errors.md lists them all.",
    "required": ["type", "title", "status", "detail", "code", "retryable", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "retryable": {"type": "boolean"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["detail", "pointer"],
                "properties": {"detail": {"type": "string"}, "pointer": {"type": "string"}},
                "additionalProperties": True,
            },
        },
    },
}


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Describes our API keys."""

    target_class = "registry.access.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "An API key, `rh_…`."}


@dataclass(frozen=True, slots=True)
class _CachedSchema:
    """A description, as it is sent."""

    content: bytes
    headers: dict[str, str]


_cache: dict[tuple[type, type], _CachedSchema] = {}  # by view and format
_generating = threading.Lock()


class CachedSchemaView(SpectacularAPIView):
    """Generates the description once, then sends the same bytes.

    The generator is not thread-safe, takes half a second, and returns the same result for all callers.
    """

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase | None:
        key = type(self), type(request.accepted_renderer)
        cached = _cache.get(key)
        if cached is None:
            with compute_lock.released_for(_generating):
                cached = _cache[key] = _cache.get(key) or self._generate(request)
        return get_conditional_response(
            request._request,
            etag=cached.headers["ETag"],
            response=HttpResponse(cached.content, headers=cached.headers),
        )

    def _generate(self, request: Request) -> _CachedSchema:
        response: Response = super().get(request)  # type: ignore[no-untyped-call]
        response.accepted_renderer = request.accepted_renderer
        response.accepted_media_type = request.accepted_media_type
        response.renderer_context = self.get_renderer_context()  # type: ignore[attr-defined]
        content = response.render().content
        etag = quote_etag(hashlib.sha256(content).hexdigest()[:32])
        return _CachedSchema(content, {**response.headers, "ETag": etag, "Cache-Control": "no-cache"})


class NewSchemaView(CachedSchemaView):
    """OpenAPI 3.1."""

    custom_settings = {"OAS_VERSION": "3.1.1"}


@method_decorator(cache_control(max_age=3600), name="dispatch")
class RedocScriptView(View):
    """ReDoc, without the logo that it would fetch from its maker's server."""

    def get(self, _request: HttpRequest) -> HttpResponse:
        return HttpResponse(_redoc_script(), content_type="text/javascript")


@cache
def _redoc_script() -> str:
    path = finders.find("drf_spectacular_sidecar/redoc/bundles/redoc.standalone.js")
    assert path is not None  # noqa: S101 (installed with drf-spectacular[sidecar])
    source = Path(path).read_text()
    return source.replace("https://cdn.redoc.ly/redoc/logo-mini.svg", static("roundhouse/mark.svg"))


class OldSchemaView(CachedSchemaView):
    """OpenAPI 3.0.3."""

    custom_settings = {"OAS_VERSION": "3.0.3"}


def undocumented_classes() -> list[type]:
    """Base views, whose docstrings do not describe an operation."""
    from inference.doors.entry import ShortDispatch
    from registry.kit.api import RegistryViewSet

    return [RegistryViewSet, ShortDispatch, *get_lib_doc_excludes()]  # type: ignore[no-untyped-call]


def add_problems(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add the error response to every operation."""
    result.setdefault("components", {}).setdefault("schemas", {})["Problem"] = _PROBLEM
    error_response = {
        "description": "An error.",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for path in result["paths"].values():
        for operation in path.values():
            if isinstance(operation, dict) and "responses" in operation:
                operation["responses"].setdefault("default", error_response)
    return result


def any_of_forms(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A value may fit several forms: labels of a text have all the fields of labels of a row, and null is any JSON, too."""
    for component in result["components"]["schemas"].values():
        for schema in (component, *component.get("properties", {}).values()):
            if "oneOf" in schema:
                schema["anyOf"] = schema.pop("oneOf")
    return result
