"""The protocol's views. The codec handles tensors."""

from collections.abc import Mapping
from typing import Any, cast

import orjson
from django.http import HttpRequest, HttpResponse
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.views import APIView

from inference.doors.entry import ShortDispatch, answer_from_view
from inference.doors.errors import BadParameter, BadRequest, NotServed
from inference.doors.oip import descriptions
from inference.doors.oip.door import OIP
from inference.doors.oip.messages import check_load
from inference.doors.wire import check_length, read_exactly
from inference.errors import BadBody
from inference.serving import runtime, services
from inference.serving.calls import Description
from registry.access.authentication import ApiKeyAuthentication
from registry.access.key_ring import Principal
from registry.access.policies import Right
from registry.errors import BodyTooLarge, NotFound
from registry.kit.api import HasRight

_JSON = "application/json"
_SMALL_BODY = 1 << 20


class OipView(APIView):
    authentication_classes = [ApiKeyAuthentication]
    permission_classes = [HasRight(Right.PREDICT) | HasRight(Right.READ)]
    schema = None  # the protocol publishes its own description

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Skip content negotiation: stock clients send no Accept or Content-Type, or wrong ones."""
        self.perform_authentication(request)
        self.check_permissions(request)
        self.check_throttles(request)

    def handle_exception(self, exc: Exception) -> HttpResponse:  # type: ignore[override]
        """The usual error response, in the protocol's format."""
        return OIP.render_problem(super().handle_exception(exc))


class ServerLiveView(OipView):
    authentication_classes = []
    permission_classes = [AllowAny]

    def get(self, request: Request) -> HttpResponse:
        return _json({"live": True})


class ServerReadyView(OipView):
    authentication_classes = []
    permission_classes = [AllowAny]

    def get(self, request: Request) -> HttpResponse:
        is_ready = runtime.report().can_predict
        return _json({"ready": is_ready}, status=200 if is_ready else 503)


class ServerView(OipView):
    def get(self, request: Request) -> HttpResponse:
        return _json(descriptions.server())


class ModelView(OipView):
    def get(self, request: Request, model: str, version: str = "") -> HttpResponse:
        return _json(descriptions.metadata(_describe(request, model, version)))


class ModelReadyView(OipView):
    def get(self, request: Request, model: str, version: str = "") -> HttpResponse:
        description = _describe(request, model, version)
        status = 200 if description.is_ready else 503
        return _json({"name": description.model, "ready": description.is_ready}, status=status)


class ConfigView(OipView):
    def get(self, request: Request, model: str, version: str = "") -> HttpResponse:
        return _json(descriptions.config(_describe(request, model, version)))


class InferView(ShortDispatch, OipView):
    permission_classes = [HasRight(Right.PREDICT)]

    def post(self, request: Request, model: str, version: str = "") -> HttpResponse:
        return answer_from_view(OIP, request, OIP.model_request(_principal(request), model, version, ""))


class StatisticsView(OipView):
    def get(self, request: Request, model: str = "", version: str = "") -> HttpResponse:
        name, number, _ = descriptions.parse_name(model, version) if model else (None, None, None)
        statistics = services.statistics(_principal(request), name, number)
        return _json({"model_stats": [descriptions.statistics(*entry) for entry in statistics]})


class IndexView(OipView):
    def post(self, request: Request) -> HttpResponse:
        only_ready = _small_body(request).get("ready", False)
        if not isinstance(only_ready, bool):
            raise BadParameter("Field 'ready' is neither true nor false.")
        return _json(descriptions.index(services.repository_index(_principal(request), only_ready)))


class LoadView(OipView):
    permission_classes = [HasRight(Right.WRITE)]

    def post(self, request: Request, model: str) -> HttpResponse:
        try:
            parameters = _small_body(request).get("parameters") or {}
        except BodyTooLarge:
            parameters = {"file:": ""}  # only a file can make it this large
        if not isinstance(parameters, dict):
            raise BadRequest("Field 'parameters' is not an object.")
        check_load(parameters)
        services.load(_principal(request), model)
        return _json({})


class UnloadView(OipView):
    permission_classes = [HasRight(Right.WRITE)]

    def post(self, request: Request, model: str) -> HttpResponse:
        _small_body(request)
        services.unload(_principal(request), model)
        return _json({})


class UnsupportedView(OipView):
    """Calls to unsupported extensions that stock clients can make. Over gRPC they are UNIMPLEMENTED."""

    def get(self, request: Request, **_: str) -> HttpResponse:
        raise NotServed

    post = get


class UnknownPathView(OipView):
    """Every other address below that of a protocol whose clients read `error`, answered in JSON."""

    authentication_classes = []
    permission_classes = [AllowAny]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        error = {"error": "There is nothing at this address.", "code": NotFound.code, "retryable": False}
        return _json(error, status=404)


def _principal(request: Request) -> Principal:
    """The key's principal: views here use no other authentication."""
    return cast(Principal, request.user)


def _describe(request: Request, model: str, version: str) -> Description:
    name, number, alias = descriptions.parse_name(model, version)
    return services.describe(_principal(request), name, number, alias)


def _small_body(request: Request) -> Mapping[str, Any]:
    """The body of a control call, which may be empty or missing."""
    length = check_length(request.META.get("CONTENT_LENGTH") or "0", _SMALL_BODY)
    body = read_exactly(request._request.read, length)
    if not body.strip():
        return {}
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadBody(f"The body is not valid JSON: {error}.") from None
    if not isinstance(content, dict):
        raise BadRequest("The body is not a JSON object.")
    return content


def _json(body: Any, *, status: int = 200) -> HttpResponse:
    return HttpResponse(orjson.dumps(body), status=status, content_type=_JSON)
