"""How callers name a content that was decided before: by their id of it, or by the request id of the answer."""

from typing import Any

from rest_framework import serializers

from inference.doors.rest.serializers import Base
from moderation.deciding.contents import MAX_ID
from moderation.policies.rules import language_of


class LanguageTag(serializers.CharField):
    """Kept without its region."""

    def __init__(self, **more: Any) -> None:
        super().__init__(max_length=35, **more)

    def to_internal_value(self, data: Any) -> str:
        try:
            return language_of(super().to_internal_value(data))
        except ValueError:
            raise serializers.ValidationError("Send a language tag, such as en or pt-BR.") from None


class NamedContent(Base):
    """One of the two names a content."""

    content_id = serializers.CharField(
        required=False,
        max_length=MAX_ID,
        trim_whitespace=False,
        help_text="Your id of the content. Its newest decision counts.",
    )
    request_id = serializers.CharField(
        required=False, max_length=64, help_text="Of the answer about it, for contents without an id."
    )
