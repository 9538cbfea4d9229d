"""Splits, and which versions are live, over HTTP."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiParameter,
    extend_schema,
    extend_schema_field,
    extend_schema_view,
)
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access.policies import Right
from registry.catalogue.api import ChangeReasonSerializer, ModelViewSet
from registry.catalogue.models import Model
from registry.catalogue.selectors import model_named, models_for, version_numbered
from registry.errors import ApprovalNeeded, Invalid, NotFound
from registry.kit.actors import in_scope
from registry.kit.api import RegistryViewSet, check_if_match, etag_of, idempotent
from registry.kit.text import MAX_REASON
from registry.traffic import selectors, services
from registry.traffic.api import ArmSerializer, SharesSerializer, shares_of
from registry.traffic.models import Hold, Split
from registry.traffic.transitions import Status

Text = serializers.CharField


class OwnedArmSerializer(ArmSerializer):
    buckets = serializers.ListField(
        child=serializers.ListField(child=serializers.IntegerField(), min_length=2, max_length=2),
        help_text="The arm's bucket ranges; each is a pair: its first bucket, and one past its last.",
    )


class WaitingSerializer(serializers.Serializer[Any]):
    told = Text(
        source="summary", help_text="A summary, such as `waiting: 1 of 2 engines are warm, gives up in 4:12`."
    )
    sentence = Text()
    gives_up_at = serializers.DateTimeField()
    gives_up_in_s = serializers.IntegerField()


class SplitSerializer(serializers.ModelSerializer[Split]):
    model = serializers.SlugRelatedField[Model](slug_field="slug", read_only=True)
    arms = serializers.SerializerMethodField()
    shadows = serializers.SerializerMethodField()
    waiting = serializers.SerializerMethodField()

    class Meta:
        model = Split
        fields = [
            "model", "number", "status", "waiting", "arms", "shadows", "salt", "reason", "made_by",
            "created_at", "from_at", "to_at",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(OwnedArmSerializer(many=True))
    def get_arms(self, split: Split) -> Any:
        return OwnedArmSerializer(selectors.arms_of(split), many=True).data

    @extend_schema_field(ArmSerializer(many=True))
    def get_shadows(self, split: Split) -> Any:
        return [{"version": number, "share": share} for number, share in selectors.shadows_of(split).items()]

    @extend_schema_field(WaitingSerializer(allow_null=True))
    def get_waiting(self, split: Split) -> Any:
        """What the split is waiting for before it becomes current; null if it is not waiting."""
        waiting = selectors.waiting_for(split)
        return WaitingSerializer(waiting).data if waiting is not None else None


class NewSplitSerializer(SharesSerializer):
    reason = Text(max_length=MAX_REASON)


class RollBackSerializer(serializers.Serializer[Any]):
    to_split = serializers.IntegerField(
        min_value=1, required=False, help_text="Default: the one before the current split."
    )
    to_version = serializers.IntegerField(
        min_value=1,
        required=False,
        help_text="Instead of a split: a version that was live before, which gets all traffic.",
    )
    reason = Text(max_length=MAX_REASON)
    expected_revision = serializers.IntegerField(min_value=0, required=False)


class LiveSerializer(serializers.Serializer[Any]):
    """The live arms, and how a routing key maps to one of them."""

    model = Text()
    at = serializers.DateTimeField()
    split = serializers.IntegerField(allow_null=True)
    arms = OwnedArmSerializer(many=True)
    salt = Text(allow_null=True)
    stopped = Text(allow_null=True)
    frozen = Text(allow_null=True)
    aliases = serializers.DictField(child=serializers.IntegerField())


class LiveNowSerializer(LiveSerializer):
    needs_approval = serializers.BooleanField(
        help_text="Whether changes that give a version live share need a second person's approval."
    )


class LiveRowSerializer(serializers.ModelSerializer[Model]):
    model = Text(source="slug", read_only=True)
    split = serializers.SerializerMethodField()
    arms = serializers.SerializerMethodField()
    stopped = serializers.SerializerMethodField()
    frozen = serializers.SerializerMethodField()

    class Meta:
        model = Model
        fields = ["model", "split", "arms", "stopped", "frozen", "needs_approval"]
        read_only_fields = fields

    def get_split(self, model: Model) -> int | None:
        split = selectors.current_split(model)
        return split.number if split is not None else None

    @extend_schema_field(ArmSerializer(many=True))
    def get_arms(self, model: Model) -> Any:
        return ArmSerializer(selectors.live_arms(model), many=True).data

    def get_stopped(self, model: Model) -> str | None:
        return selectors.open_holds(model).get(Hold.Kind.STOPPED)

    def get_frozen(self, model: Model) -> str | None:
        return selectors.open_holds(model).get(Hold.Kind.FROZEN)


class SplitFilters(filters.FilterSet):  # type: ignore[misc]  # the package has no type hints
    status = filters.ChoiceFilter(choices=Status.choices)


@extend_schema_view(
    list=extend_schema(summary="List the splits of a Model", operation_id="list_splits"),
    retrieve=extend_schema(summary="Show a split", operation_id="show_split"),
)
@extend_schema(tags=["splits"])
class SplitsView(ModelViewSet[Split]):
    rights: ClassVar[Mapping[str, str]] = {
        "list": Right.READ, "retrieve": Right.READ, "current": Right.READ,
        "create": Right.LOWER,  # the service checks a further right if a version gains share
        "roll_back": Right.ROLL_BACK, "reshuffle": Right.SET_SPLIT,
    }  # fmt: skip
    queryset = Split.objects.none()
    serializer_class = SplitSerializer
    filterset_class = SplitFilters
    paging_order = "-number"
    lookup_field = "number"

    def get_queryset(self) -> QuerySet[Split]:
        rows = in_scope(Split.objects.select_related("model"), self.actor)
        return selectors.with_arms(rows.filter(model=self.url_model()))

    @extend_schema(
        summary="Show the current split", operation_id="show_current_split",
        responses=SplitSerializer,
    )  # fmt: skip
    def current(self, request: Request, slug: str) -> Response:
        split = self.get_queryset().filter(status=Status.CURRENT).first()
        if split is None:
            raise NotFound(f"{slug} has no current split.")
        return self.shown(split)

    @extend_schema(
        summary="Set the split of a Model", operation_id="set_split",
        request=NewSplitSerializer, responses={201: SplitSerializer},
    )  # fmt: skip
    @idempotent()
    def create(self, request: Request, slug: str) -> Response:
        data = self.read(NewSplitSerializer)
        model = self.url_model()
        check_if_match(request, etag_of(model))
        arms = shares_of(model, data.pop("arms"))
        shadows = shares_of(model, data.pop("shadows"))
        try:
            split = services.set_split(model=model, arms=arms, shadows=shadows, **data, by=self.actor)
        except ApprovalNeeded as error:
            raise ApprovalNeeded(f"{error} Use POST /api/v1/models/{slug}/requests.") from None
        return self._created(split)

    @extend_schema(
        summary="Restore the shares of an earlier split, or give all traffic to a version that was live before",
        operation_id="roll_back",
        request=RollBackSerializer, responses={201: SplitSerializer},
    )  # fmt: skip
    @idempotent()
    def roll_back(self, request: Request, slug: str) -> Response:
        data = self.read(RollBackSerializer)
        model = self.url_model()
        split_number, version_number = data.pop("to_split", None), data.pop("to_version", None)
        to_split = self.get_queryset().filter(number=split_number).first()
        if split_number is not None and to_split is None:
            raise NotFound(f"{slug} has no split {split_number}.")
        to_version = version_numbered(model, version_number) if version_number is not None else None
        split = services.roll_back(
            model=model, to_split=to_split, to_version=to_version, **data, by=self.actor
        )
        return self._created(split)

    @extend_schema(
        summary="Replace the salt: every routing key gets a new random bucket", operation_id="reshuffle",
        request=ChangeReasonSerializer, responses={201: SplitSerializer, 204: None},
    )  # fmt: skip
    @idempotent()
    def reshuffle(self, request: Request, slug: str) -> Response:
        split = services.reshuffle(model=self.url_model(), **self.read(ChangeReasonSerializer), by=self.actor)
        return self._created(split) if split is not None else Response(status=204)

    def _created(self, split: Split) -> Response:
        return self.created(split, location=f"/api/v1/models/{split.model.slug}/splits/{split.number}")


@extend_schema(tags=["splits"])
@extend_schema_view(
    list=extend_schema(summary="List the live versions of every Model", operation_id="list_live")
)
class LiveVersionsView(RegistryViewSet[Model]):
    rights: ClassVar[Mapping[str, str]] = {"list": Right.READ, "live": Right.READ, "live_at": Right.READ}
    queryset = Model.objects.none()
    serializer_class = LiveRowSerializer
    paging_order = "slug"

    def get_queryset(self) -> QuerySet[Model]:
        return selectors.with_live_arms(models_for(self.actor))

    @extend_schema(summary="Show the live versions now", operation_id="live", responses=LiveNowSerializer)
    def live(self, request: Request, slug: str) -> Response:
        model = model_named(slug, self.actor)
        return Response({**_live_data(model, timezone.now()), "needs_approval": model.needs_approval})

    @extend_schema(
        summary="Show the live versions at a past time", operation_id="live_at", responses=LiveSerializer,
        parameters=[OpenApiParameter(
            "t", OpenApiTypes.DATETIME, required=True,
            description="A time, such as 2026-08-01T14:05:00Z; UTC if it has no zone.",
        )],
    )  # fmt: skip
    def live_at(self, request: Request, slug: str) -> Response:
        model = model_named(slug, self.actor)
        return Response(_live_data(model, _parse_time(request.query_params.get("t", ""))))


def _live_data(model: Model, at: datetime) -> dict[str, Any]:
    live = selectors.live_at(model, at)
    data: dict[str, Any] = LiveSerializer({
        "model": model.slug,
        "at": live.at,
        "split": live.split.number if live.split is not None else None,
        "arms": live.arms,
        "salt": live.split.salt if live.split is not None else None,
        "stopped": live.stopped,
        "frozen": live.frozen,
        "aliases": live.aliases,
    }).data  # fmt: skip
    return data


def _parse_time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid("`t` must be a time such as 2026-08-01T14:05:00Z.") from None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
