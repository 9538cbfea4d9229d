"""The REST door's views, and its bodies for the OpenAPI description. The forms do the reading and writing."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, PolymorphicProxySerializer, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from inference.checks.proofs import known_sample
from inference.doors.entry import ShortDispatch, answer_from_view
from inference.doors.request_counts import counted
from inference.doors.rest.door import DRY_RUN as DRY_RUN_DOOR
from inference.doors.rest.door import REST
from inference.doors.rest.signature import signature_of
from inference.serving import services
from inference.serving.calls import ModelRequest
from registry.access.authentication import ApiKeyAuthentication
from registry.access.key_ring import Principal
from registry.access.policies import Right
from registry.kit.api import HasRight

Base = serializers.Serializer[Any]


class PredictTensors(Base):
    inputs = serializers.DictField(
        help_text="Tensors by input name, as nested lists; the first axis counts rows."
    )


class PredictRows(Base):
    instances = serializers.ListField(
        help_text="Rows: the values of the only input, or objects with a value for each input.", min_length=1
    )


class PredictFeatures(Base):
    features = serializers.ListField(help_text="One row of the only input.")


class PredictData(Base):
    data = serializers.ListField(  # type: ignore[assignment]  # the metaclass removes it
        help_text="One row of the only input; a classification also returns its confidence."
    )


class _Answered(Base):
    model = serializers.CharField()
    version = serializers.IntegerField()
    arm = serializers.CharField(
        allow_blank=True, help_text="The split's arm; empty when the request named the version."
    )
    split = serializers.IntegerField(help_text="The number of the current split; 0 when there is none.")


class _Predicted(_Answered):
    request_id = serializers.CharField(help_text="Signed; send it back with the actual outcome.")


class TensorsPredicted(_Predicted):
    outputs = serializers.DictField(help_text="Tensors by output name.")


class RowsPredicted(_Predicted):
    predictions = serializers.ListField(
        help_text="A row for each instance; objects where there are several outputs."
    )


class RowPredicted(_Predicted):
    prediction = serializers.JSONField(help_text="The only output's row.")
    confidence = serializers.FloatField(
        required=False, help_text="For a classification requested with `data`: its largest probability."
    )


class TensorShape(Base):
    datatype = serializers.CharField()
    shape = serializers.ListField(child=serializers.IntegerField())


class DryRun(_Answered):
    valid = serializers.BooleanField(help_text="Always true: an invalid request gets an error response.")
    inputs = serializers.DictField(child=TensorShape(), help_text="The tensors that would have been run.")


REQUESTS = [PredictTensors, PredictRows, PredictFeatures, PredictData]
RESPONSES = [TensorsPredicted, RowsPredicted, RowPredicted, DryRun]


class TensorDescription(Base):
    name = serializers.CharField()
    datatype = serializers.CharField(help_text="As the Open Inference Protocol names it, such as FP32.")
    shape = serializers.ListField(
        child=serializers.IntegerField(allow_null=True), help_text="null: any size."
    )
    optional = serializers.BooleanField()


class SignatureResponse(Base):
    model = serializers.CharField()
    version = serializers.IntegerField()
    inputs = TensorDescription(many=True)
    outputs = TensorDescription(many=True)
    labels = serializers.ListField(
        child=serializers.CharField(),
        allow_null=True,
        help_text="For a classification: the class names, in the order of its scores.",
    )
    scores = serializers.CharField(
        allow_null=True, help_text="For a classification: logits or probabilities."
    )
    examples = serializers.DictField(
        help_text="A body for each form that this version answers; `binary` is the JSON part of a binary body."
    )
    curl = serializers.CharField(allow_null=True, help_text="The first example as a command line.")


F = TypeVar("F", bound=Callable[..., Any])

# With the demo's Models.
_EXAMPLES = [
    OpenApiExample(
        "inputs: tensors by name", request_only=True, media_type="application/json",
        value={"inputs": {"features": [[0.21, 0.79, 0.31], [0.82, 0.18, 0.88]]}},
    ),
    OpenApiExample(
        "instances: rows", request_only=True, media_type="application/json",
        value={"instances": [[0.21, 0.79, 0.31], [0.82, 0.18, 0.88]]},
    ),
    OpenApiExample(
        "features: one row", request_only=True, media_type="application/json",
        value={"features": [0.21, 0.79, 0.31]},
    ),
    OpenApiExample(
        "data: one row, with a confidence", request_only=True, media_type="application/json",
        value={"data": [0.21, 0.79, 0.31]},
    ),
]  # fmt: skip
_RIPENESS = OpenApiParameter(
    "model", str, OpenApiParameter.PATH, examples=[OpenApiExample("the demo's Model", value="ripeness")]
)

ROUTING_KEY = OpenApiParameter(
    "X-Routing-Key",
    str,
    OpenApiParameter.HEADER,
    description="Requests with the same key reach the same version as long as the shares do not change.",
)
DEADLINE = OpenApiParameter(
    "X-Deadline-Ms",
    int,
    OpenApiParameter.HEADER,
    description="How long to wait for the answer; 5,000 by default.",
)
DRY_RUN = OpenApiParameter(
    "dry_run", bool, description="Check the request against the version's signature without running it."
)
_FORMS = PolymorphicProxySerializer(
    component_name="Predict", serializers=REQUESTS, resource_type_field_name=None
)
_ANSWERS = PolymorphicProxySerializer(
    component_name="PredictResponse", serializers=RESPONSES, resource_type_field_name=None
)


def _described(operation_id: str, summary: str, *more: OpenApiParameter) -> Callable[[F], F]:
    return extend_schema(
        operation_id=operation_id,
        summary=summary,
        # Not `additionalProperties: false`: a Model may take its routing key from a field of the body.
        description="The body has one of five forms, and the answer has the same form; see docs/clients.md. "
        "A body with any other field is refused with `unknown_field`, except for the field that the Model takes its "
        "routing key from.",
        parameters=[_RIPENESS, *more, DEADLINE, DRY_RUN],
        examples=_EXAMPLES,
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
        asked = ModelRequest(cast("Principal", request.user), model, version, alias)
        with counted(asked):  # Django refuses query strings with thousands of fields
            is_dry = plain.META.get("QUERY_STRING") and plain.GET.get("dry_run") in {"1", "true"}
        return answer_from_view(DRY_RUN_DOOR if is_dry else REST, request, asked)


class PredictView(_PredictView):
    @_described("predict", "Predict with the live version of a Model", ROUTING_KEY)
    def post(self, request: Request, model: str) -> HttpResponse:
        return self.answer(request, model)


class PredictVersionView(_PredictView):
    @_described("predict_version", "Predict with a version by number")
    def post(self, request: Request, model: str, version: int) -> HttpResponse:
        return self.answer(request, model, version)


class PredictAliasView(_PredictView):
    @_described("predict_alias", "Predict with the version that an alias names")
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
        summary=f"Describe the inputs and outputs of {whose}, with example requests",
        responses={200: SignatureResponse},
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
