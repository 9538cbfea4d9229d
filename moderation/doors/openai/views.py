"""The door's view, as OpenAPI describes it."""

from typing import Any, cast

from django.http import HttpRequest, HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from inference.doors.entry import ShortDispatch
from inference.doors.rest.api import DEADLINE
from inference.doors.rest.serializers import Base
from moderation.doors.door import moderate_in_view
from moderation.doors.foreign import ForeignDecision, missing_page
from moderation.doors.openai.door import OPENAI
from moderation.rights import ModerationRight
from registry.access.authentication import ApiKeyAuthentication
from registry.access.key_ring import Principal
from registry.kit.api import HasRight

_PART: dict[str, Any] = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "enum": ["text", "image_url"]},
        "text": {"type": "string"},
        "image_url": {"type": "object", "properties": {"url": {"type": "string"}}, "required": ["url"]},
    },
    "required": ["type"],
}


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string"},
            {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 64},
            {"type": "array", "items": _PART, "minItems": 1},
        ]
    }
)
class _InputField(serializers.JSONField):
    """A text, texts, or the parts of one content."""


class OpenAiModerationForm(Base):
    input = _InputField(
        help_text="A text; a list of texts, with a result each; or the parts of one content, with one result."
    )
    model = serializers.CharField(
        required=False, help_text="A policy. OpenAI's own names stand for the policy of the key's tenant."
    )
    roundhouse = serializers.DictField(
        required=False, help_text="What OpenAI has no fields for, such as `content_id` and `context`."
    )


class OpenAiResult(Base):
    flagged = serializers.BooleanField(help_text="false only for `allow`.")
    categories = serializers.DictField(child=serializers.BooleanField())
    category_scores = serializers.DictField(
        child=serializers.FloatField(allow_null=True),
        help_text="null while a detector that the category needs fails.",
    )
    category_applied_input_types = serializers.DictField(
        child=serializers.ListField(child=serializers.ChoiceField(["text", "image"])),
        help_text="Empty if nothing in the policy looks for the category.",
    )
    roundhouse = ForeignDecision()


class OpenAiAnswer(Base):
    id = serializers.CharField()
    model = serializers.CharField(help_text="The policy.")
    results = OpenAiResult(many=True)


class OpenAiErrorFields(Base):
    message = serializers.CharField()
    type = serializers.CharField()
    param = serializers.CharField(allow_null=True)
    code = serializers.CharField()


class OpenAiError(Base):
    error = OpenAiErrorFields()


class OpenAiModerationsView(ShortDispatch):
    authentication_classes = [ApiKeyAuthentication]
    permission_classes = [HasRight(ModerationRight.MODERATE)]

    @extend_schema(
        operation_id="openai_moderations",
        summary="Moderate contents, for OpenAI's clients",
        description="What `client.moderations.create` of the package `openai` calls; see docs/moderation-clients.md.",
        parameters=[DEADLINE],
        examples=[
            OpenApiExample("a text", request_only=True, value={"input": "You are an idiot, get lost."})
        ],
        request={"application/json": OpenAiModerationForm},
        responses={200: OpenAiAnswer, "default": OpenAiError},
        tags=["moderation"],
    )
    def post(self, request: Request) -> HttpResponse:
        return moderate_in_view(OPENAI, request._request, cast("Principal", request.user))

    def handle_exception(self, exc: Exception) -> HttpResponse:  # type: ignore[override]
        """The usual error response, in the format that these clients read."""
        return OPENAI.render_problem(super().handle_exception(exc))


class OpenAiMissingView(APIView):
    """Every other address of OpenAI's, answered in its format."""

    authentication_classes = []
    permission_classes = []
    schema = None

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return missing_page(OPENAI)
