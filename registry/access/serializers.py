"""Serializers that the APIs of several rooms use."""

from typing import Any

from rest_framework import serializers
from rest_framework.fields import empty

from registry.access.limits import MAX_CONCURRENCY, MAX_RATE_PER_MINUTE, NO_LIMITS, CallerLimits


class LimitsSerializer(serializers.Serializer[CallerLimits]):
    """All limits together; null or missing means no limit."""

    rate_per_minute = serializers.IntegerField(
        min_value=1, max_value=MAX_RATE_PER_MINUTE, allow_null=True, default=None
    )
    concurrency = serializers.IntegerField(
        min_value=1,
        max_value=MAX_CONCURRENCY,
        allow_null=True,
        default=None,
        help_text="Concurrent requests, across all web processes.",
    )
    exact = serializers.BooleanField(
        source="is_exact",
        default=False,
        help_text="Strict limit: every request checks the shared counter, which is slower.",
    )

    def run_validation(self, data: Any = empty) -> CallerLimits:
        """Treat null as no limits."""
        return super().run_validation(data) or NO_LIMITS

    def to_internal_value(self, data: Any) -> CallerLimits:
        """Refuse unknown names: a misspelt limit must not mean no limit."""
        limits = super().to_internal_value(data)
        if unknown := set(data) - set(self.fields):
            raise serializers.ValidationError(dict.fromkeys(unknown, "There is no such limit."))
        return CallerLimits(**limits)
