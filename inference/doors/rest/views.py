"""The REST door's addresses, as DRF views."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, PolymorphicProxySerializer, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from inference.checks.proofs import known_sample
from inference.doors.asking import Asked
from inference.doors.rest import serializers
from inference.doors.rest.predicting import DRY_RUN as DRY_RUN_DOOR
from inference.doors.rest.predicting import REST
from inference.doors.rest.signature import signature_of
from inference.doors.short_dispatch import ShortDispatch, answered
from inference.serving import services
from registry.access.authentication import ApiKeyAuthentication
from registry.access.key_ring import Principal
from registry.access.policies import Right
from registry.kit.api import HasRight

F = TypeVar("F", bound=Callable[..., Any])

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
DRY_RUN = OpenApiParameter(
    "dry_run", bool, description="Check the request against the version's signature, and run nothing."
)
_FORMS = PolymorphicProxySerializer(
    component_name="Predict", serializers=serializers.REQUESTS, resource_type_field_name=None
)
_ANSWERS = PolymorphicProxySerializer(
    component_name="PredictResponse", serializers=serializers.RESPONSES, resource_type_field_name=None
)


def _described(operation_id: str, summary: str, *more: OpenApiParameter) -> Callable[[F], F]:
    return extend_schema(
        operation_id=operation_id,
        summary=summary,
        # Not `additionalProperties: false`: a Model may take its routing key from a field of the body.
        description="The body has one of five forms, and the answer has the same; docs/clients.md shows them. "
        "A body with any other field is refused with `unknown_field`, except for the field that the Model takes its "
        "routing key from.",
        parameters=[*more, DEADLINE, DRY_RUN],
        request={"application/json": _FORMS, "application/octet-stream": OpenApiTypes.BINARY},
        responses={
            (200, "application/json"): _ANSWERS,
            (200, "application/octet-stream"): OpenApiTypes.BINARY,
        },
        tags=["predictions"],
    )


class _PredictView(ShortDispatch):
    authentication_classes = [ApiKeyAuthentication]
    permission_classes = [HasRight(Right.PREDICT)]

    def answer(
        self, request: Request, model: str, version: int | None = None, alias: str | None = None
    ) -> HttpResponse:
        plain = request._request
        is_dry = plain.META.get("QUERY_STRING") and plain.GET.get("dry_run") in {"1", "true"}
        asked = Asked(cast("Principal", request.user), model, version, alias)
        return answered(DRY_RUN_DOOR if is_dry else REST, request, asked)


class PredictView(_PredictView):
    @_described("predict", "Ask the live version of a Model", ROUTING_KEY)
    def post(self, request: Request, model: str) -> HttpResponse:
        return self.answer(request, model)


class PredictVersionView(_PredictView):
    @_described("predict_version", "Ask a version by number")
    def post(self, request: Request, model: str, version: int) -> HttpResponse:
        return self.answer(request, model, version)


class PredictAliasView(_PredictView):
    @_described("predict_alias", "Ask the version that an alias names")
    def post(self, request: Request, model: str, alias: str) -> HttpResponse:
        return self.answer(request, model, alias=alias)


class _SignatureView(APIView):
    authentication_classes = [ApiKeyAuthentication]
    permission_classes = [HasRight(Right.PREDICT) | HasRight(Right.READ)]

    def answer(
        self, request: Request, model: str, version: int | None = None, alias: str | None = None
    ) -> Response:
        description = services.describe(cast("Principal", request.user), model, version, alias)
        return Response(signature_of(description, known_sample(description.sha256)))


def _signature(operation_id: str, whose: str) -> Callable[[F], F]:
    return extend_schema(
        operation_id=operation_id,
        summary=f"What {whose} takes and gives, with requests that it answers",
        responses={200: serializers.SignatureResponse},
        tags=["predictions"],
    )


class SignatureView(_SignatureView):
    @_signature("model_schema", "the live version of a Model")
    def get(self, request: Request, model: str) -> Response:
        return self.answer(request, model)


class SignatureOfVersionView(_SignatureView):
    @_signature("version_schema", "a version")
    def get(self, request: Request, model: str, version: int) -> Response:
        return self.answer(request, model, version)


class SignatureOfAliasView(_SignatureView):
    @_signature("alias_schema", "the version that an alias names")
    def get(self, request: Request, model: str, alias: str) -> Response:
        return self.answer(request, model, alias=alias)
