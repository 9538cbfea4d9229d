"""The figures of a Model over HTTP: requests, latencies, and what was turned away."""

from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from inference.measure.counts import Counts
from inference.measure.selectors import ArmSummary, series_between
from inference.measure.traffic import PERIODS
from inference.measure.turned_away import TurnedAway, turned_away
from registry.access.policies import Right
from registry.catalogue.api import ModelViewSet
from registry.catalogue.models import Model, Version
from registry.errors import Invalid

_Base = serializers.Serializer[Any]
_LATENCIES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}


class CodeSerializer(_Base):
    code = serializers.CharField(help_text="A stable error code; docs/errors.md lists them all.")
    requests = serializers.IntegerField()
    share = serializers.FloatField(help_text="Of all requests, from 0 to 1.")
    meaning = serializers.CharField()


class TurnedAwaySerializer(_Base):
    requests = serializers.IntegerField()
    share = serializers.FloatField(help_text="Of all requests, from 0 to 1.")
    codes = CodeSerializer(many=True, help_text="The most frequent code first.")


class _CountsSerializer(_Base):
    requests = serializers.IntegerField(help_text="Answered or not.")
    answered = serializers.IntegerField()
    server_errors = serializers.IntegerField(help_text="Valid requests that got no answer.")
    caller_errors = serializers.IntegerField(
        help_text="Requests that were invalid or exceeded the caller's limit."
    )
    p50_ms = serializers.FloatField(allow_null=True)
    p95_ms = serializers.FloatField(allow_null=True)
    p99_ms = serializers.FloatField(allow_null=True)


class _ArmSerializer(_Base):
    split = serializers.IntegerField()
    arm = serializers.CharField(
        allow_blank=True, help_text="Empty if the request named the version, or none was chosen."
    )
    version = serializers.IntegerField(
        allow_null=True, help_text="null: turned away before one was chosen, or since deleted."
    )


class ArmFiguresSerializer(_ArmSerializer, _CountsSerializer):
    codes = serializers.DictField(child=serializers.IntegerField(), help_text="Requests by error code.")


class _PeriodSerializer(_Base):
    model = serializers.CharField()
    start = serializers.DateTimeField()
    end = serializers.DateTimeField(help_text="The end of the last minute that all processes have written.")


class FiguresSerializer(_PeriodSerializer, _CountsSerializer):
    turned_away = TurnedAwaySerializer()
    arms = ArmFiguresSerializer(many=True, help_text="The newest split first.")


_EXAMPLE = OpenApiExample(
    "A Model that was stopped for a minute",
    value={
        "model": "demand",
        "start": "2026-08-01T13:05:00Z",
        "end": "2026-08-01T14:05:00Z",
        "requests": 35_400, "answered": 34_800, "server_errors": 600, "caller_errors": 0,
        "p50_ms": 1.6, "p95_ms": 3.2, "p99_ms": 6.3,
        "turned_away": {
            "requests": 600, "share": 0.0169,
            "codes": [{
                "code": "stopped", "requests": 600, "share": 0.0169, "meaning": "An operator had stopped the Model.",
            }],
        },
        "arms": [
            {
                "split": 3, "arm": "", "version": None, "codes": {"stopped": 600},
                "requests": 600, "answered": 0, "server_errors": 600, "caller_errors": 0,
                "p50_ms": None, "p95_ms": None, "p99_ms": None,
            },
            {
                "split": 3, "arm": "A", "version": 4, "codes": {},
                "requests": 34_800, "answered": 34_800, "server_errors": 0, "caller_errors": 0,
                "p50_ms": 1.6, "p95_ms": 3.2, "p99_ms": 6.3,
            },
        ],
    },
    response_only=True,
)  # fmt: skip


@extend_schema(tags=["predictions"])
class FiguresView(ModelViewSet[Model]):
    rights: ClassVar[Mapping[str, str]] = {"figures": Right.READ}
    queryset = Model.objects.none()
    serializer_class = FiguresSerializer

    @extend_schema(
        summary="Show a Model's requests, latencies, and what was turned away",
        operation_id="model_figures",
        responses=FiguresSerializer,
        parameters=[OpenApiParameter(
            "period", str, enum=list(PERIODS), description="How far back: `hour` (the default), `day` or `week`.",
        )],
        examples=[_EXAMPLE],
    )  # fmt: skip
    def figures(self, request: Request, slug: str) -> Response:
        model = self.url_model()
        period = PERIODS.get(request.query_params.get("period", "hour"))
        if period is None:
            raise Invalid(f"`period` must be one of {', '.join(PERIODS)}.")
        start, end = period.window()
        arms = series_between(model_id=model.pk, start=start, end=end, step=end - start).arms()
        numbers = dict(
            Version.objects.filter(pk__in=[arm.version_id for arm in arms]).values_list("pk", "number")
        )
        total = Counts()
        for arm in arms:
            total.add_all(arm)
        figures = {
            "model": model.slug,
            "start": start,
            "end": end,
            **_counts(total),
            "turned_away": turned_away([total]) or TurnedAway(0, 0.0, []),
            "arms": [_arm(arm, numbers) for arm in arms],
        }
        return Response(FiguresSerializer(figures).data)


def _arm(arm: ArmSummary, numbers: Mapping[int, int]) -> dict[str, Any]:
    version = numbers.get(arm.version_id)
    return {"split": arm.split, "arm": arm.arm, "version": version, "codes": arm.codes, **_counts(arm)}


def _counts(counts: Counts) -> dict[str, Any]:
    latencies = {name: counts.latency_s(share) for name, share in _LATENCIES.items()}
    return {
        "requests": counts.requests,
        "answered": counts.ok,
        "server_errors": counts.errors,
        "caller_errors": counts.refused,
        **{name: None if value is None else round(value * 1000, 3) for name, value in latencies.items()},
    }
