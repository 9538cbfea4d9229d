"""The door's views, as OpenAPI describes them."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    PolymorphicProxySerializer,
    extend_schema,
    extend_schema_field,
)
from rest_framework import serializers
from rest_framework.request import Request

from inference.doors.entry import ShortDispatch, answer_from_view
from inference.doors.hugging_face.door import HUGGING_FACE
from inference.doors.rest.api import DEADLINE, ROUTING_KEY
from inference.doors.rest.serializers import Base
from inference.pipelines.entities import Grouping
from inference.pipelines.scores import ScoreFunction
from inference.serving.calls import ModelRequest
from registry.access.authentication import ApiKeyAuthentication
from registry.access.key_ring import Principal
from registry.access.policies import Right
from registry.kit.api import HasRight

F = TypeVar("F", bound=Callable[..., Any])


@extend_schema_field(
    {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
)
class _Inputs(serializers.JSONField):
    """One text or picture, or several."""


class HuggingFaceParameters(Base):
    top_k = serializers.IntegerField(
        required=False, min_value=1, help_text="For labels: how many to return, best first."
    )
    function_to_apply = serializers.ChoiceField(
        choices=list(ScoreFunction),
        required=False,
        help_text="For labels: only the function that the version has.",
    )
    aggregation_strategy = serializers.ChoiceField(
        choices=list(Grouping), required=False, help_text="For entities: how tokens become entities."
    )
    ignore_labels = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="For entities: labels to leave out."
    )
    threshold = serializers.FloatField(
        required=False, min_value=0, max_value=1, help_text="For boxes: the least confidence."
    )


class HuggingFaceInputs(Base):
    inputs = _Inputs(help_text="A text, or a picture as base64; or a list of them.")
    parameters = HuggingFaceParameters(required=False)


class HuggingFaceBox(Base):
    xmin = serializers.IntegerField()
    ymin = serializers.IntegerField()
    xmax = serializers.IntegerField()
    ymax = serializers.IntegerField()


class HuggingFaceElement(Base):
    """A label, an entity or an object."""

    score = serializers.FloatField()
    label = serializers.CharField(required=False, help_text="Of a label or an object.")  # type: ignore[assignment]  # the metaclass removes it
    box = HuggingFaceBox(required=False, help_text="Of an object: its corners, in pixels of the picture.")
    entity_group = serializers.CharField(required=False, help_text="The label of an entity.")
    entity = serializers.CharField(
        required=False, help_text="The same, if `aggregation_strategy` is `none`: the label of a token."
    )
    word = serializers.CharField(required=False, help_text="Of an entity: the piece of the text.")
    start = serializers.IntegerField(required=False, help_text="In code points.")
    end = serializers.IntegerField(required=False)


class HuggingFaceError(Base):
    error = serializers.CharField()
    code = serializers.CharField(help_text="Stable; docs/errors.md lists them all.")
    retryable = serializers.BooleanField()


_ANSWERS: Any = serializers.ListSerializer(
    child=PolymorphicProxySerializer(
        component_name="HuggingFaceAnswer",
        serializers=[HuggingFaceElement, HuggingFaceElement(many=True)],
        resource_type_field_name=None,
        many=False,
    )
)
_TONE = OpenApiParameter(
    "model", str, OpenApiParameter.PATH, examples=[OpenApiExample("the demo's Model", value="tone")]
)


def _described(operation_id: str, summary: str, *more: OpenApiParameter) -> Callable[[F], F]:
    return extend_schema(
        operation_id=operation_id,
        summary=summary,
        description="For `huggingface_hub.InferenceClient`, which is given this address as its model; see docs/clients.md. "
        "The body is JSON, or a picture. The answer is a list; for several texts or pictures, and for the labels of a text, "
        "it is a list of lists. The headers `X-Model-Version`, `X-Arm` and `X-Split` say which version answered.",
        parameters=[_TONE, *more, DEADLINE],
        examples=[
            OpenApiExample(
                "a text, for the Models tone and names", request_only=True, media_type="application/json",
                value={"inputs": "The food was wonderful."},
            )
        ],
        request={"application/json": HuggingFaceInputs, "application/octet-stream": OpenApiTypes.BINARY},
        responses={200: _ANSWERS, "default": HuggingFaceError},
        tags=["predictions"],
    )  # fmt: skip


class _HuggingFaceView(ShortDispatch):
    authentication_classes = [ApiKeyAuthentication]
    permission_classes = [HasRight(Right.PREDICT)]

    def answer(
        self, request: Request, model: str, version: int | None = None, alias: str | None = None
    ) -> HttpResponse:
        asked = ModelRequest(cast("Principal", request.user), model, version, alias)
        return answer_from_view(HUGGING_FACE, request, asked)

    def handle_exception(self, exc: Exception) -> HttpResponse:  # type: ignore[override]
        """The usual error response, in the format that these clients read."""
        return HUGGING_FACE.render_problem(super().handle_exception(exc))


class HuggingFaceView(_HuggingFaceView):
    @_described(
        "hugging_face", "Predict with the live version of a Model, for Hugging Face clients", ROUTING_KEY
    )
    def post(self, request: Request, model: str) -> HttpResponse:
        return self.answer(request, model)


class HuggingFaceVersionView(_HuggingFaceView):
    @_described("hugging_face_version", "Predict with a version by number, for Hugging Face clients")
    def post(self, request: Request, model: str, version: int) -> HttpResponse:
        return self.answer(request, model, version)


class HuggingFaceAliasView(_HuggingFaceView):
    @_described(
        "hugging_face_alias", "Predict with the version that an alias names, for Hugging Face clients"
    )
    def post(self, request: Request, model: str, alias: str) -> HttpResponse:
        return self.answer(request, model, alias=alias)
