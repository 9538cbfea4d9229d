"""The door's view, as OpenAPI describes it."""

from typing import Any, cast

from django.http import HttpRequest, HttpResponse
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from inference.doors.entry import ShortDispatch
from inference.doors.rest.api import DEADLINE
from inference.doors.rest.serializers import Base
from moderation.doors.door import moderate_in_view
from moderation.doors.foreign import ForeignDecision, missing_page
from moderation.doors.perspective.door import PERSPECTIVE
from moderation.rights import ModerationRight
from registry.access.authentication import ApiKeyAuthentication
from registry.access.key_ring import Principal
from registry.kit.api import HasRight

_BEARER: Any = [{"apiKey": []}]
_KEY = OpenApiParameter(
    "key", str, OpenApiParameter.QUERY, description="The API key, as these clients send it. Or send `Authorization: Bearer`."
)  # fmt: skip


class KeyInAddress(ApiKeyAuthentication):
    """Accepts the key in the query string, too. These clients send it there; nothing logs query strings."""

    def sent_text(self, request: HttpRequest) -> str | None:
        return super().sent_text(request) or request.GET.get("key") or None


class PerspectiveComment(Base):
    text = serializers.CharField()
    type = serializers.ChoiceField(["PLAIN_TEXT"], required=False)


class PerspectiveAttribute(Base):
    scoreType = serializers.ChoiceField(["PROBABILITY"], required=False)
    scoreThreshold = serializers.FloatField(required=False, help_text="Scores below it are left out.")


class PerspectiveForm(Base):
    comment = PerspectiveComment()
    requestedAttributes = serializers.DictField(child=PerspectiveAttribute())
    languages = serializers.ListField(child=serializers.CharField(), required=False, max_length=1)
    doNotStore = serializers.BooleanField(
        required=False, help_text="Keep nothing of it, not even the decision."
    )
    spanAnnotations = serializers.BooleanField(required=False)
    clientToken = serializers.CharField(required=False)


class PerspectiveScore(Base):
    value = serializers.FloatField()
    type = serializers.ChoiceField(["PROBABILITY"])


class PerspectiveSpan(Base):
    begin = serializers.IntegerField(help_text="In UTF-16 units.")
    end = serializers.IntegerField()
    score = PerspectiveScore()


class PerspectiveAttributeScore(Base):
    summaryScore = PerspectiveScore()
    spanScores = PerspectiveSpan(many=True)


class PerspectiveAnswer(Base):
    attributeScores = serializers.DictField(child=PerspectiveAttributeScore())
    languages = serializers.ListField(child=serializers.CharField())
    detectedLanguages = serializers.ListField(child=serializers.CharField(), required=False)
    clientToken = serializers.CharField(required=False)
    roundhouse = ForeignDecision()


class PerspectiveErrorFields(Base):
    code = serializers.IntegerField()
    message = serializers.CharField()
    status = serializers.CharField()
    details = serializers.ListField(child=serializers.DictField())


class PerspectiveError(Base):
    error = PerspectiveErrorFields()


class AnalyzeCommentView(ShortDispatch):
    authentication_classes = [KeyInAddress]
    permission_classes = [HasRight(ModerationRight.MODERATE)]

    @extend_schema(
        operation_id="perspective_analyze",
        summary="Score a comment, for clients of the Perspective API",
        description="The call `comments:analyze`; see docs/moderation-clients.md. If a detector that a requested attribute"
        " needs does not answer, the answer is an error, never a low score.",
        parameters=[_KEY, DEADLINE],
        examples=[
            OpenApiExample(
                "a comment",
                request_only=True,
                value={
                    "comment": {"text": "You are an idiot, get lost."},
                    "requestedAttributes": {"TOXICITY": {}},
                    "languages": ["en"],
                },
            )
        ],
        request={"application/json": PerspectiveForm},
        responses={200: PerspectiveAnswer, "default": PerspectiveError},
        auth=_BEARER,
        tags=["moderation"],
    )
    def post(self, request: Request) -> HttpResponse:
        return moderate_in_view(PERSPECTIVE, request._request, cast("Principal", request.user))

    def handle_exception(self, exc: Exception) -> HttpResponse:  # type: ignore[override]
        """The usual error response, in the format that these clients read."""
        return PERSPECTIVE.render_problem(super().handle_exception(exc))


class PerspectiveMissingView(APIView):
    """Every other address of the Perspective API, answered in its format."""

    authentication_classes = []
    permission_classes = []
    schema = None

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return missing_page(PERSPECTIVE)
