"""The REST door's views, and its bodies for the OpenAPI description. The forms do the reading and writing."""

from collections.abc import Callable, Sequence
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
from inference.doors.rest.task_door import TASK_DOORS, TASK_DRY_RUNS
from inference.pipelines.entities import Entities
from inference.pipelines.spans import OffsetUnit
from inference.pipelines.text_classification import TextClassification
from inference.pipelines.texts import MAX_TEXTS
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


class _OfModel(Base):
    model = serializers.CharField(
        required=False, help_text="`name` or `name@alias`; the default Model of this address without it."
    )


class _TopK(Base):
    top_k = serializers.IntegerField(
        required=False, min_value=1, help_text="For text-classification: how many labels to return."
    )


class _Offsets(Base):
    offset_unit = serializers.ChoiceField(
        choices=list(OffsetUnit), required=False, help_text="What `start` and `end` count."
    )


class _Text(Base):
    text = serializers.CharField()


class _Texts(Base):
    texts = serializers.ListField(child=serializers.CharField(), min_length=1, max_length=MAX_TEXTS)


class PredictText(_Text, _TopK, _Offsets): ...


class PredictTexts(_Texts, _TopK, _Offsets): ...


class ClassifyText(_Text, _TopK, _OfModel): ...


class ClassifyTexts(_Texts, _TopK, _OfModel): ...


class EntitiesText(_Text, _Offsets, _OfModel): ...


class EntitiesTexts(_Texts, _Offsets, _OfModel): ...


class _Answered(Base):
    model = serializers.CharField()
    version = serializers.IntegerField()
    arm = serializers.CharField(
        allow_blank=True, help_text="The split's arm; empty when the request named the version."
    )
    split = serializers.IntegerField(help_text="The number of the current split; 0 when there is none.")


class _Predicted(_Answered):
    request_id = serializers.CharField(help_text="Signed; send it back with the actual outcome.")
    preprocessing = serializers.CharField(
        required=False,
        help_text="Versions with the same one turn requests and outputs into the same things. Tasks that do neither have none.",
    )


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


class LabelScore(Base):
    label = serializers.CharField()  # type: ignore[assignment]  # the metaclass removes it
    score = serializers.FloatField()


class LabelsOfText(Base):
    label = serializers.CharField(help_text="The best one.")  # type: ignore[assignment]  # the metaclass removes it
    confidence = serializers.FloatField(help_text="Its score.")
    labels = LabelScore(many=True, help_text="Best first; `top_k` of them.")
    tokens_given = serializers.IntegerField(
        allow_null=True, help_text="Tokens of the text; null if the model reads texts itself."
    )
    tokens_used = serializers.IntegerField(
        allow_null=True, help_text="Tokens that the model read: fewer than given if the text was cut."
    )


class TextLabelled(LabelsOfText, _Predicted): ...


class TextsLabelled(_Predicted):
    answers = LabelsOfText(many=True, help_text="One for each text.")


class FoundEntity(Base):
    label = serializers.CharField()  # type: ignore[assignment]  # the metaclass removes it
    text = serializers.CharField(help_text="The piece of the text.")
    start = serializers.IntegerField()
    end = serializers.IntegerField()
    score = serializers.FloatField()


class EntitiesOfText(Base):
    entities = FoundEntity(many=True, help_text="In the order of the text; none overlaps another.")
    offset_unit = serializers.ChoiceField(choices=list(OffsetUnit), help_text="What `start` and `end` count.")
    tokens_given = serializers.IntegerField()
    tokens_used = serializers.IntegerField()


class EntitiesFound(EntitiesOfText, _Predicted): ...


class EntitiesOfTextsFound(_Predicted):
    answers = EntitiesOfText(many=True, help_text="One for each text.")


class TensorShape(Base):
    datatype = serializers.CharField()
    shape = serializers.ListField(child=serializers.IntegerField())


class DryRun(_Answered):
    valid = serializers.BooleanField(help_text="Always true: an invalid request gets an error response.")
    inputs = serializers.DictField(child=TensorShape(), help_text="The tensors of the first run.")
    runs = serializers.IntegerField(
        help_text="How many runs of the model the request would take: texts of different lengths do not share one."
    )


REQUESTS = [PredictTensors, PredictRows, PredictFeatures, PredictData, PredictText, PredictTexts]
LABELLED, FOUND = [TextLabelled, TextsLabelled], [EntitiesFound, EntitiesOfTextsFound]
RESPONSES = [TensorsPredicted, RowsPredicted, RowPredicted, *LABELLED, *FOUND, DryRun]


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
    OpenApiExample(
        "text: words, for the Models tone and names", request_only=True, media_type="application/json",
        value=TextClassification.example(),
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
        description="The body has one of seven forms, and the answer has the same form; see docs/clients.md. "
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


_DEMO_MODELS = {"classify": "tone", "entities": "names"}


def _task_described(
    name: str,
    summary: str,
    requests: Sequence[type[Base]],
    responses: Sequence[type[Base]],
    example: dict[str, Any],
) -> Callable[[F], F]:
    component = name.capitalize()
    forms = PolymorphicProxySerializer(
        component_name=component, serializers=requests, resource_type_field_name=None
    )
    answers = PolymorphicProxySerializer(
        component_name=f"{component}Response", serializers=[*responses, DryRun], resource_type_field_name=None
    )
    demo = _DEMO_MODELS[name]
    ((field, item),) = example.items()
    return extend_schema(
        operation_id=name,
        summary=summary,
        description="`model` names a Model of this task; without it the default one answers, which an operator sets with "
        "`ROUNDHOUSE_DEFAULT_MODELS`. A Model's own address, `/predict`, takes the same texts and gives the same answers.",
        parameters=[ROUTING_KEY, DEADLINE, DRY_RUN],
        examples=[
            OpenApiExample("one text", request_only=True, value={"model": demo, **example}),
            OpenApiExample(
                "several texts", request_only=True, value={"model": demo, f"{field}s": [item, "Thank you."]}
            ),
        ],
        request=forms,
        responses=answers,
        tags=["predictions"],
    )


class _TaskView(ShortDispatch):
    authentication_classes = [ApiKeyAuthentication]
    permission_classes = [HasRight(Right.PREDICT)]

    def answer(self, request: Request, name: str) -> HttpResponse:
        door = TASK_DOORS[name]
        asked = door.model_request(cast("Principal", request.user), "", "", "")
        return answer_from_view(TASK_DRY_RUNS[name] if _is_dry_run(request, asked) else door, request, asked)


class ClassifyView(_TaskView):
    @_task_described(
        "classify", "Label a text, or several", [ClassifyText, ClassifyTexts], LABELLED, TextClassification.example()
    )  # fmt: skip
    def post(self, request: Request) -> HttpResponse:
        return self.answer(request, "classify")


class EntitiesView(_TaskView):
    @_task_described(
        "entities", "Find names, numbers and the like in a text, or several", [EntitiesText, EntitiesTexts], FOUND,
        Entities.example(),
    )  # fmt: skip
    def post(self, request: Request) -> HttpResponse:
        return self.answer(request, "entities")


def _is_dry_run(request: Request, asked: ModelRequest) -> bool:
    plain = request._request
    with counted(asked):  # Django refuses query strings with thousands of fields
        return bool(plain.META.get("QUERY_STRING")) and plain.GET.get("dry_run") in {"1", "true"}


class _PredictView(ShortDispatch):
    authentication_classes = [ApiKeyAuthentication]
    permission_classes = [HasRight(Right.PREDICT)]

    def answer(
        self, request: Request, model: str, version: int | None = None, alias: str | None = None
    ) -> HttpResponse:
        asked = ModelRequest(cast("Principal", request.user), model, version, alias)
        return answer_from_view(DRY_RUN_DOOR if _is_dry_run(request, asked) else REST, request, asked)


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
