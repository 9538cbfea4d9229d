"""Bodies that the APIs of several rooms read."""

from typing import Any

from rest_framework import serializers

from registry.kit.text import MAX_REASON


class ChangeReasonSerializer(serializers.Serializer[Any]):
    """Why; kept with the change."""

    reason = serializers.CharField(max_length=MAX_REASON)
