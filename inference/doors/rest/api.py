"""The REST door's views, as OpenAPI describes them. The forms do the reading and writing."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, PolymorphicProxySerializer, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from inference.checks.proofs import known_sample
from inference.doors.entry import ShortDispatch, answer_from_view
from inference.doors.request_counts import counted
from inference.doors.rest.door import DRY_RUN as DRY_RUN_DOOR
from inference.doors.rest.door import REST
from inference.doors.rest.serializers import (
    CLASSIFY_REQUESTS,
    DETECT_REQUESTS,
    DETECTED,
    ENTITIES_REQUESTS,
    FOUND,
    LABELLED,
    ONE_ROW_PREDICTED,
    ONE_ROW_REQUESTS,
    RANK_REQUESTS,
    RANKED,
    RECOMMEND_REQUESTS,
    RECOMMENDED,
    REQUESTS,
    RESPONSES,
    Base,
    ClassifyForm,
    DetectForm,
    DryRun,
    PredictForm,
    SignatureResponse,
)  # fmt: skip
from inference.doors.rest.signature import signature_of
from inference.doors.rest.task_door import (
    ONE_ROW,
    ONE_ROW_DRY_RUN,
    TASK_DOORS,
    TASK_DRY_RUNS,
    DefaultModelDoor,
)
from inference.pipelines.entities import Entities
from inference.pipelines.image_classification import ImageClassification
from inference.pipelines.text_classification import TextClassification
from inference.serving import services
from inference.serving.calls import ModelRequest
from inference.tensors.signature import Signature
from registry.access.authentication import ApiKeyAuthentication
from registry.access.key_ring import Principal
from registry.access.policies import Right
from registry.kit.api import HasRight

F = TypeVar("F", bound=Callable[..., Any])

_ANY = Signature((), ())
_TEXT, _PICTURE, _NAMES_IN_TEXT = (
    task.example_of({}, {}, _ANY) for task in (TextClassification, ImageClassification, Entities)
)
_CANDIDATES = {
    "user": {"age": 34, "likes": "cooking"},
    "candidates": [{"topic": "sport", "price": 18}, {"topic": "cooking", "price": 12}],
}
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
        "data: one row, answered with one number", request_only=True, media_type="application/json",
        value={"data": [0.21, 0.79, 0.31]},
    ),
    OpenApiExample(
        "text: words, for the Models tone and names", request_only=True, media_type="application/json",
        value=_TEXT,
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
# Not described as a content type: generators of clients refuse those that they do not know.
_PICTURE_AS_BODY = (
    " A picture may also be the body itself, with its own `Content-Type` (`image/…`); options, and `model` where a body would"
    " name it, are then in the address."
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
        description="The body has one of these forms, and the answer has the same form; see docs/clients.md. "
        "A body with any other field is refused with `unknown_field`, except for the field that the Model takes its "
        "routing key from." + _PICTURE_AS_BODY,
        parameters=[_RIPENESS, *more, DEADLINE, DRY_RUN],
        examples=_EXAMPLES,
        request={
            "application/json": _FORMS,
            "application/octet-stream": OpenApiTypes.BINARY,
            "multipart/form-data": PredictForm,
        },
        responses={
            (200, "application/json"): _ANSWERS,
            (200, "application/octet-stream"): OpenApiTypes.BINARY,
        },
        tags=["predictions"],
    )


def _task_described(
    name: str,
    summary: str,
    requests: Sequence[type[Base]],
    responses: Sequence[type[Base]],
    examples: Mapping[str, dict[str, Any]],
    form: type[Base] | None = None,
) -> Callable[[F], F]:
    component = "".join(map(str.capitalize, name.split("_")))
    bodies = PolymorphicProxySerializer(
        component_name=component, serializers=requests, resource_type_field_name=None
    )
    answers = PolymorphicProxySerializer(
        component_name=f"{component}Response", serializers=[*responses, DryRun], resource_type_field_name=None
    )
    files = {"multipart/form-data": form} if form is not None else {}
    return extend_schema(
        operation_id=name,
        summary=summary,
        description="`model` names a Model that answers such requests; without it the default one does, which an operator sets "
        "with `ROUNDHOUSE_DEFAULT_MODELS`. A Model's own address, `/api/v1/models/{model}/predict`, gives the same answers."
        + (_PICTURE_AS_BODY if files else ""),
        parameters=[ROUTING_KEY, DEADLINE, DRY_RUN],
        examples=[
            OpenApiExample(title, request_only=True, media_type="application/json", value=value)
            for title, value in examples.items()
        ],
        request={"application/json": bodies, **files},
        responses=answers,
        tags=["predictions"],
    )


class _DefaultModelView(ShortDispatch):
    authentication_classes = [ApiKeyAuthentication]
    permission_classes = [HasRight(Right.PREDICT)]

    def answer_at(self, door: DefaultModelDoor, dry_run: DefaultModelDoor, request: Request) -> HttpResponse:
        asked = door.model_request(cast("Principal", request.user), "", "", "")
        return answer_from_view(dry_run if _is_dry_run(request, asked) else door, request, asked)


class PredictDefaultView(_DefaultModelView):
    @_task_described(
        "predict_default",
        "Predict one row with the default Model",
        ONE_ROW_REQUESTS,
        ONE_ROW_PREDICTED,
        {
            "features: one row": {"model": "ripeness", "features": [0.21, 0.79, 0.31]},
            "data: one row, answered with one number": {"model": "ripeness", "data": [0.21, 0.79, 0.31]},
        },
    )
    def post(self, request: Request) -> HttpResponse:
        return self.answer_at(ONE_ROW, ONE_ROW_DRY_RUN, request)


class _TaskView(_DefaultModelView):
    def answer(self, request: Request, name: str) -> HttpResponse:
        return self.answer_at(TASK_DOORS[name], TASK_DRY_RUNS[name], request)


class ClassifyView(_TaskView):
    @_task_described(
        "classify",
        "Label a text or a picture, or several",
        CLASSIFY_REQUESTS,
        LABELLED,
        {
            "one text": {"model": "tone", **_TEXT},
            "several texts": {"model": "tone", "texts": ["The coffee was good.", "Thank you."]},
            "a picture": {"model": "figures", **_PICTURE},
        },
        ClassifyForm,
    )
    def post(self, request: Request) -> HttpResponse:
        return self.answer(request, "classify")


class DetectView(_TaskView):
    @_task_described(
        "detect",
        "Find objects in a picture, or in several",
        DETECT_REQUESTS,
        DETECTED,
        {"a picture": {"model": "shapes", **_PICTURE}},
        DetectForm,
    )
    def post(self, request: Request) -> HttpResponse:
        return self.answer(request, "detect")


class EntitiesView(_TaskView):
    @_task_described(
        "entities",
        "Find names, numbers and the like in a text, or several",
        ENTITIES_REQUESTS,
        FOUND,
        {
            "one text": {"model": "names", **_NAMES_IN_TEXT},
            "several texts": {"model": "names", "texts": ["Ada met Bob.", "Thank you."]},
        },
    )
    def post(self, request: Request) -> HttpResponse:
        return self.answer(request, "entities")


class RecommendView(_TaskView):
    @_task_described(
        "recommend",
        "Recommend items to a user, or to several",
        RECOMMEND_REQUESTS,
        RECOMMENDED,
        {
            "one user": {"model": "picks", "user": "ada", "top_k": 5},
            "several users": {"model": "picks", "users": ["ada", "ben"], "exclude": [["The Last Orbit"], []]},
        },
    )
    def post(self, request: Request) -> HttpResponse:
        return self.answer(request, "recommend")


class RankView(_TaskView):
    @_task_described(
        "rank",
        "Rank candidates for a user, or for several",
        RANK_REQUESTS,
        RANKED,
        {"one user": {"model": "clicks", **_CANDIDATES}},
    )
    def post(self, request: Request) -> HttpResponse:
        return self.answer(request, "rank")


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


_CLIENT = Path(__file__).with_name("client.py").read_bytes()
_CLIENT_ETAG = quote_etag(hashlib.sha256(_CLIENT).hexdigest()[:32])


class ClientFileView(APIView):
    """Holds no secret, so it is the same for everybody, like the description of the API."""

    authentication_classes = []
    permission_classes = []

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        return super().perform_content_negotiation(request, force=True)  # whatever Accept says

    @extend_schema(
        operation_id="client_file",
        summary="Download the Python client, one file without dependencies",
        description="For Python 3.9 and newer; also a program, for CI. See docs/clients.md.",
        auth=[],
        responses={(200, "text/x-python"): OpenApiTypes.STR},
        tags=["predictions"],
    )
    def get(self, request: Request) -> HttpResponseBase | None:
        headers = {
            "Content-Disposition": 'attachment; filename="roundhouse.py"',
            "ETag": _CLIENT_ETAG,
            "Cache-Control": "no-cache",
        }
        file = HttpResponse(_CLIENT, content_type="text/x-python; charset=utf-8", headers=headers)
        return get_conditional_response(request._request, etag=_CLIENT_ETAG, response=file)
