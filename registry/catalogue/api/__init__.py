"""The catalogue over HTTP, and what every API under a Model shares."""

from typing import Any, TypeVar

from django.db.models import Model as Row
from rest_framework import serializers

from registry.catalogue.models import Model, Version
from registry.catalogue.selectors import model_named, version_numbered
from registry.kit.api import RegistryViewSet
from registry.kit.text import MAX_REASON

R = TypeVar("R", bound=Row)


class ModelViewSet(RegistryViewSet[R]):
    """Views whose URL names a Model, and optionally one of its versions."""

    def url_model(self) -> Model:
        return model_named(self.kwargs["slug"], self.actor)

    def url_version(self) -> Version:
        return version_numbered(self.url_model(), self.kwargs["number"])


class ChangeReasonSerializer(serializers.Serializer[Any]):
    """The reason for a change, stored with it."""

    reason = serializers.CharField(max_length=MAX_REASON)
