"""The catalogue over HTTP."""

from typing import Any

from rest_framework import serializers

from registry.kit.text import MAX_REASON


class ChangeReasonSerializer(serializers.Serializer[Any]):
    """The reason of a change, stored with it."""

    reason = serializers.CharField(max_length=MAX_REASON)
