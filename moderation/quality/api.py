"""Report cards, and verdicts as labelled data, over HTTP."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from inference.doors.rest.serializers import Base
from moderation.policies.models import Policy
from moderation.policies.selectors import policies_within, policy_named
from moderation.quality.estimates import Estimate
from moderation.quality.judged_contents import ReceivedPeriod, read_judged_contents
from moderation.quality.report_cards import (
    LEAST_VERDICTS,
    CardFigures,
    ReportCard,
    SlicedFigures,
    is_enough,
    report_cards,
)
from moderation.quality.verdict_lines import MEDIA_TYPE, VerdictExport, verdict_lines
from moderation.rights import ModerationRight
from registry.kit.api import RegistryViewSet

USUAL_DAYS = 90
_TAG = ["moderation"]
_LONGEST = 200


class PeriodQuery(Base):
    """By when contents were received."""

    since = serializers.DateTimeField(
        default=None, allow_null=True, help_text=f"By default {USUAL_DAYS} days ago."
    )
    until = serializers.DateTimeField(default=None, allow_null=True, help_text="By default now.")
    policy = serializers.CharField(
        required=False, max_length=_LONGEST, help_text="Of this policy's contents alone."
    )

    def to_internal_value(self, data: Any) -> Any:
        if unknown := sorted(set(data) - set(self.fields)):
            known = ", ".join(self.fields)
            raise serializers.ValidationError(
                {name: [f"There is no such parameter; the parameters are {known}."] for name in unknown}
            )
        return super().to_internal_value(data)

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        until: datetime = values["until"] or timezone.now()
        since: datetime = values["since"] or until - timedelta(days=USUAL_DAYS)
        if since >= until:
            raise serializers.ValidationError({"since": ["It must be before `until`."]})
        return {**values, "since": since, "until": until}

    @property
    def period(self) -> ReceivedPeriod:
        return ReceivedPeriod(self.validated_data["since"], self.validated_data["until"])


class ReportCardQuery(PeriodQuery):
    detector = serializers.CharField(
        required=False,
        max_length=_LONGEST,
        help_text="A Model, or one of its aliases: only cards of its versions.",
    )
    version = serializers.IntegerField(default=None, allow_null=True, min_value=1)
    code = serializers.CharField(
        required=False, max_length=_LONGEST, help_text="Figures of this violation alone."
    )
    language = serializers.CharField(required=False, max_length=8)


class VerdictsQuery(PeriodQuery):
    contents = serializers.BooleanField(
        default=False,
        help_text="With texts, which needs the right to read decisions. Restricted contents, and those that are not stored"
        " any more, are left out then.",
    )


class EstimateSerializer(Base):
    value = serializers.FloatField(
        allow_null=True, help_text="null as long as there are not enough verdicts; see `count`."
    )
    low = serializers.FloatField(help_text="Of the interval that holds the true value in 95 of 100 cases.")
    high = serializers.FloatField()
    count = serializers.IntegerField(help_text="The verdicts that it rests on; for recall, the audits.")


class CardFiguresSerializer(Base):
    precision = EstimateSerializer(help_text="How much of what was stopped, and looked at, is a violation.")
    recall = EstimateSerializer(help_text="How many of the violations were stopped.")
    prevalence = EstimateSerializer(help_text="How much of what was let through is a violation.")
    hits = serializers.IntegerField()
    false_alarms = serializers.IntegerField()
    missed = serializers.IntegerField(help_text="Found by an audit, or by a review for another reason.")
    audits = serializers.IntegerField()
    blocked_alone = serializers.IntegerField(help_text="Blocked without a person.")
    appeals = serializers.IntegerField()
    overturned = serializers.IntegerField()
    reported = serializers.IntegerField(help_text="Let through, and removed after a report.")


class SlicedFiguresSerializer(CardFiguresSerializer):
    name = serializers.CharField(allow_blank=True)


class ReportCardSerializer(CardFiguresSerializer):
    """Of a policy; or of a version of a detector."""

    policy = serializers.CharField(allow_null=True)
    detector = serializers.CharField(allow_null=True)
    version = serializers.IntegerField(allow_null=True)
    by_code = SlicedFiguresSerializer(many=True)
    by_language = SlicedFiguresSerializer(many=True, help_text="An empty name: unknown.")


class ReportCardsSerializer(Base):
    since = serializers.DateTimeField(help_text="Later than was asked for if `is_cut`.")
    until = serializers.DateTimeField()
    needed = serializers.IntegerField(help_text="The count below which a figure has no value.")
    is_cut = serializers.BooleanField(
        help_text="There are more contents than are read at once, so the oldest were left out."
    )
    cards = ReportCardSerializer(many=True)


@extend_schema(tags=_TAG)
class ReportCardsView(RegistryViewSet[Policy]):
    rights: ClassVar[dict[str, Any]] = {
        "show": ModerationRight.READ_QUALITY,
        "verdicts": ModerationRight.READ_QUALITY,
    }
    queryset = Policy.objects.none()

    @extend_schema(
        operation_id="show_report_cards",
        summary="Show how good policies and detectors are",
        description="From final verdicts. A later verdict, such as that of an appeal, replaces an earlier one. Contents are"
        " the tenant's own; see docs/moderation-quality.md for what the figures mean.",
        parameters=[ReportCardQuery],
        responses=ReportCardsSerializer,
    )
    def show(self, request: Request) -> Response:
        query = ReportCardQuery(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        names = ("policy", "detector", "version", "code", "language")
        chosen = {name: query.validated_data[name] for name in names if name in query.validated_data}
        judged = read_judged_contents(query.period, tenant_id=self.actor.tenant_id)
        return Response(
            {
                "since": judged.since,
                "until": query.period.until,
                "needed": LEAST_VERDICTS,
                "is_cut": judged.is_cut,
                "cards": [card_as_json(card) for card in report_cards(judged, **chosen)],
            }
        )

    @extend_schema(
        operation_id="export_verdicts",
        summary="Export verdicts as labelled data, one JSON object per line",
        description="A line for each content that people judged, the newest verdict first. `weight` says how many contents it"
        " stands for: more than 1 if it was drawn for an audit, and null if it came to a person by a complaint, which is no"
        " random choice.",
        parameters=[VerdictsQuery],
        responses={(200, kind): OpenApiTypes.BINARY for kind in ("application/octet-stream", MEDIA_TYPE)},
    )
    def verdicts(self, request: Request) -> StreamingHttpResponse:
        query = VerdictsQuery(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        name = query.validated_data.get("policy")
        policy = policy_named(name, within=policies_within(self.actor.tenant_id)) if name else None
        export = VerdictExport(query.period, policy, query.validated_data["contents"])
        return verdicts_response(verdict_lines(export=export, by=self.actor))


def verdicts_response(lines: Iterator[bytes]) -> StreamingHttpResponse:
    response = StreamingHttpResponse(lines, content_type=MEDIA_TYPE)
    response["Content-Disposition"] = 'attachment; filename="verdicts.jsonl"'
    response["Cache-Control"] = "private, no-store"
    return response


def card_as_json(card: ReportCard) -> dict[str, Any]:
    return {
        "policy": card.policy or None,
        "detector": card.detector or None,
        "version": card.version,
        **_figures(card.figures),
        "by_code": [_sliced(one) for one in card.by_code],
        "by_language": [_sliced(one) for one in card.by_language],
    }


def _sliced(one: SlicedFigures) -> dict[str, Any]:
    return {"name": one.name, **_figures(one.figures)}


def _figures(figures: CardFigures) -> dict[str, Any]:
    estimates = {name: _estimate(getattr(figures, name)) for name in ("precision", "recall", "prevalence")}
    counts = (
        "hits", "false_alarms", "missed", "audits", "blocked_alone", "appeals", "overturned", "reported",
    )  # fmt: skip
    return {**estimates, **{name: getattr(figures, name) for name in counts}}


def _estimate(one: Estimate) -> dict[str, Any]:
    return {
        "value": one.value if is_enough(one) else None,
        "low": one.low,
        "high": one.high,
        "count": one.count,
    }
