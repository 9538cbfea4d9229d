"""`GET /api/v1`: what is here, for people who look around with curl."""

from collections.abc import Iterator
from functools import cache

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, URLResolver, get_resolver
from django.views import View

_ROOT, _CLIENT = "api/v1/", "client.py"


class ApiIndexView(View):
    """The lists that this API has, and where it is described. The same for everybody, like the description."""

    http_method_names = ["get", "head", "options"]

    def get(self, _request: HttpRequest) -> HttpResponse:
        url = settings.PUBLIC_URL
        return JsonResponse(
            {
                "predict": f"{url}/api/v1/models/{{model}}/predict",
                "predict_default": f"{url}/predict",
                "classify": f"{url}/api/v1/classify",
                "detect": f"{url}/api/v1/detect",
                "entities": f"{url}/api/v1/entities",
                "rank": f"{url}/api/v1/rank",
                "recommend": f"{url}/api/v1/recommend",
                "signature": f"{url}/api/v1/models/{{model}}/schema",
                "open_inference_protocol": f"{url}/v2",
                "hugging_face": f"{url}/hf/models/{{model}}",
                "moderate": f"{url}/api/v1/moderate",
                "openai_moderations": f"{url}/v1/moderations",
                "perspective": f"{url}/v1alpha1/comments:analyze",
                "python_client": f"{url}/{_ROOT}{_CLIENT}",
                "lists": {name: f"{url}/{_ROOT}{name}" for name in _lists()},
                "docs": f"{url}/api/docs",
                "schema": f"{url}/api/schema",
                "authentication": "Authorization: Bearer <API key>",
            }
        )


@cache
def _lists() -> tuple[str, ...]:
    """The addresses without parameters that answer a GET with JSON."""
    found = {address for address, view in _walk(get_resolver().url_patterns) if _reads(view)}
    return tuple(sorted(found - {_CLIENT}))


def _walk(patterns: list[URLPattern | URLResolver], prefix: str = "") -> Iterator[tuple[str, object]]:
    for pattern in patterns:
        address = f"{prefix}{pattern.pattern}"
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, address)
        elif address.startswith(_ROOT) and "<" not in address:
            yield address.removeprefix(_ROOT), pattern.callback


def _reads(view: object) -> bool:
    actions = getattr(view, "actions", None)
    return "get" in actions if actions else hasattr(getattr(view, "cls", None), "get")
