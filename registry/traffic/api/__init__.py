"""Splits, approvals and holds over HTTP."""

from collections.abc import Iterable
from typing import Any

from rest_framework import serializers

from registry.catalogue.models import Model, Version
from registry.errors import Invalid
from registry.traffic.assignment import WHOLE
from registry.traffic.models import MAX_ARMS


class ArmSerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField(min_value=1)
    share = serializers.IntegerField(min_value=1, max_value=WHOLE, help_text="basis points")


class SharesSerializer(serializers.Serializer[Any]):
    arms = ArmSerializer(many=True, allow_empty=False, max_length=MAX_ARMS)  # type: ignore[call-arg]
    shadows = ArmSerializer(many=True, max_length=MAX_ARMS, default=list)  # type: ignore[call-arg]
    expected_revision = serializers.IntegerField(
        min_value=0,
        required=False,
        help_text="The number of the newest split you have seen; 0 if there is none.",
    )


def shares_of(model: Model, lines: Iterable[dict[str, int]]) -> dict[Version, int]:
    """Basis points by version."""
    versions = {version.number: version for version in model.versions.select_related("model")}
    shares: dict[Version, int] = {}
    for line in lines:
        version = versions.get(line["version"])
        if version is None:
            raise Invalid(f"{model.slug} has no version {line['version']}.")
        if version in shares:
            raise Invalid(f"Version {version.number} is listed twice in the split; give it one share.")
        shares[version] = line["share"]
    return shares
