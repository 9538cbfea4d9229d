"""The story of a request over HTTP."""

from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from inference.story.chapters import Chapter
from inference.story.selectors import story_of
from registry.access.policies import Right
from registry.kit.api import HasRight, actor_of


class StoryChangeSerializer(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    sentence = serializers.CharField()
    by = serializers.CharField()
    reason = serializers.CharField(allow_blank=True)
    url = serializers.URLField(help_text="The audit record's page.")


class StoryLinkSerializer(serializers.Serializer[Any]):
    title = serializers.CharField()
    url = serializers.URLField(help_text="A page of the admin.")


class ChapterSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(
        help_text="Stable, such as `answer`, `split` or `approval`; more may be added."
    )
    title = serializers.CharField()
    sentences = serializers.ListField(child=serializers.CharField())
    facts = serializers.DictField(help_text="Times are ISO 8601 in UTC.")
    changes = StoryChangeSerializer(many=True)
    links = StoryLinkSerializer(many=True)


class StorySerializer(serializers.Serializer[Any]):
    request_id = serializers.CharField()
    model = serializers.CharField()
    version = serializers.IntegerField()
    at = serializers.DateTimeField(help_text="When the request was answered.")
    chapters = ChapterSerializer(many=True)


EXAMPLE_ID = "AgAAAAEAAAABYQGbB2_kABBzAAAAAAAAAAAAAO5zHXC4hWkJcNQ1XJbHoYM="
_EXAMPLE = {
    "request_id": EXAMPLE_ID,
    "model": "demand",
    "version": 1,
    "at": "2026-08-01T14:05:00.125Z",
    "chapters": [
        {
            "name": "answer",
            "title": "Answer",
            "sentences": [
                "Version 1 of demand answered.",
                "Its routing key belongs to bucket 4,211 of 10,000. Arm a of split 2 owned buckets 0 to 8,999; "
                "its share was 90 %.",
            ],
            "facts": {"model": "demand", "version": 1, "file": "3b1f9a0c7d42", "arm": "a", "share": "90 %"},
            "changes": [],
            "links": [
                {"title": "Model demand", "url": "https://models.example/admin/registry/model/1/change/"}
            ],
        }
    ],
}


class StoryView(APIView):
    permission_classes = [HasRight(Right.READ)]

    @extend_schema(
        operation_id="story_of_request",
        summary="Tell the story of a request: which version answered, why, who approved it, and what changed since",
        description="Takes the signed request id of an answered prediction: `request_id` in its body, the header "
        "`X-Request-ID`, or gRPC's trailing metadata `x-request-id`. No log is needed. Ids that this installation "
        "did not sign, and those of Models that you may not see, get 404.",
        parameters=[OpenApiParameter("request_id", OpenApiTypes.STR, OpenApiParameter.PATH)],
        responses=StorySerializer,
        examples=[OpenApiExample("StoryOfARequest", value=_EXAMPLE, response_only=True)],
        tags=["predictions"],
    )
    def get(self, request: Request, request_id: str) -> Response:
        story = story_of(request_id, actor_of(request))
        data = {
            "request_id": story.request.request_id,
            "model": story.request.model.slug,
            "version": story.request.version.number,
            "at": story.request.at,
            "chapters": [_chapter(name, chapter) for name, chapter in story.chapters],
        }
        return Response(StorySerializer(data).data)


def _chapter(name: str, chapter: Chapter) -> dict[str, Any]:
    return {
        "name": name,
        "title": chapter.title,
        "sentences": chapter.sentences,
        "facts": {
            key: value.astimezone(UTC) if isinstance(value, datetime) else value
            for key, value in chapter.facts.items()
        },
        "changes": [
            {
                "at": change.at,
                "sentence": change.sentence,
                "by": change.by,
                "reason": change.reason,
                "url": _url(change.path),
            }
            for change in chapter.changes
        ],
        "links": [{"title": link.title, "url": _url(link.path)} for link in chapter.links],
    }


def _url(path: str) -> str:
    return f"{settings.PUBLIC_URL}{path}"
