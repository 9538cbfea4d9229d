"""REST: JSON in, JSON out."""

from typing import Any, cast

import orjson
from django.conf import settings
from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from inference.doors import staleness
from inference.doors.wire import check_length, read_deadline_s, read_exactly
from inference.errors import BadBody, InvalidOutput, NotAPrediction
from inference.serving import services
from inference.serving.calls import DEADLINE_S, Call, Prediction
from registry.access.authentication import ApiKeyAuthentication
from registry.access.key_ring import Principal
from registry.access.policies import Right
from registry.api_base import HasRight

ROUTING_KEY = OpenApiParameter(
    "X-Routing-Key",
    str,
    OpenApiParameter.HEADER,
    description="Equal keys reach the same version while shares stay.",
)
DEADLINE = OpenApiParameter(
    "X-Deadline-Ms",
    int,
    OpenApiParameter.HEADER,
    description="How long the answer is wanted; 5,000 unless given.",
)


class PredictRequest(serializers.Serializer[Any]):
    inputs = serializers.DictField(
        help_text="Tensors by input name, as nested lists; the first axis counts rows."
    )


class PredictResponse(serializers.Serializer[Any]):
    outputs = serializers.DictField(help_text="Tensors by output name.")
    model = serializers.CharField()
    version = serializers.IntegerField()
    arm = serializers.CharField(help_text="The split's arm; empty when the request named the version.")
    split = serializers.IntegerField(help_text="The number of the current split; 0 when there is none.")
    request_id = serializers.CharField()


class _ForKeys(APIView):
    authentication_classes = [ApiKeyAuthentication]
    permission_classes = [HasRight(Right.PREDICT)]


class PredictView(_ForKeys):
    @extend_schema(
        operation_id="predict",
        summary="Ask the live version of a Model",
        parameters=[ROUTING_KEY, DEADLINE],
        request=PredictRequest,
        responses={200: PredictResponse},
        tags=["predictions"],
    )
    def post(self, request: Request, model: str) -> HttpResponse:
        return _predict(request, model)


class PredictVersionView(_ForKeys):
    @extend_schema(
        operation_id="predict_version",
        summary="Ask a version by number",
        parameters=[DEADLINE],
        request=PredictRequest,
        responses={200: PredictResponse},
        tags=["predictions"],
    )
    def post(self, request: Request, model: str, version: int) -> HttpResponse:
        return _predict(request, model, version=version)


class PredictAliasView(_ForKeys):
    @extend_schema(
        operation_id="predict_alias",
        summary="Ask the version that an alias names",
        parameters=[DEADLINE],
        request=PredictRequest,
        responses={200: PredictResponse},
        tags=["predictions"],
    )
    def post(self, request: Request, model: str, alias: str) -> HttpResponse:
        return _predict(request, model, alias=alias)


def _predict(
    request: Request, model: str, *, version: int | None = None, alias: str | None = None
) -> HttpResponse:
    within_s = read_deadline_s(request.META) or DEADLINE_S
    body = _read_json(request)
    prediction = services.predict(
        Call(
            by=cast("Principal", request.user),
            model=model,
            inputs=body["inputs"],
            version=version,
            alias=alias,
            routing_key=request.META.get("HTTP_X_ROUTING_KEY"),
            fields=body,
            within_s=within_s,
        )
    )
    staleness.tell(request)
    response = HttpResponse(_written(prediction), content_type="application/json")
    response["X-Request-ID"] = prediction.request_id
    return response


def _written(prediction: Prediction) -> bytes:
    if prediction.non_finite:
        raise InvalidOutput
    body = {
        "outputs": prediction.outputs,
        "model": prediction.model,
        "version": prediction.version,
        "arm": prediction.arm,
        "split": prediction.split,
        "request_id": prediction.request_id,
    }
    return orjson.dumps(body, default=_to_json, option=orjson.OPT_SERIALIZE_NUMPY)


def _to_json(value: Any) -> Any:
    """What orjson leaves to us: half floats, texts, and arrays that are not contiguous."""
    return value.tolist()


def _read_json(request: Request) -> dict[str, Any]:
    """Read the raw body: DRF's parsers would refuse clients that send no Content-Type."""
    try:
        body = orjson.loads(_read_body(request))
    except orjson.JSONDecodeError as error:
        raise BadBody(f"The body is not valid JSON: {error}.") from None
    if not isinstance(body, dict) or not isinstance(body.get("inputs"), dict):
        raise NotAPrediction
    return body


def _read_body(request: Request) -> bytes:
    length = check_length(request.META.get("CONTENT_LENGTH") or "", settings.PREDICT_JSON_BYTES)
    # Not request.body: Django refuses that beyond 2.5 MB with a page of HTML.
    return read_exactly(request._request.read, length)
