"""The Traffic panels of Models and versions, the traffic columns of the home page, and what a stop would refuse."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from inference.measure.counts import Counts
from inference.measure.selectors import (
    MINUTE,
    Series,
    counters_lost_between,
    models_between,
    newest_minute,
    series_between,
    written_until,
)
from inference.measure.traffic import (
    HOUR,
    PERIODS,
    Period,
    Traffic,
    latency,
    model_traffic,
    per_second,
    percent,
    version_traffic,
)
from inference.measure.turned_away import TurnedAway, turned_away
from registry.catalogue.models import Model, Version
from registry.kit.admin.plots import sparkline
from registry.traffic.models import Split
from registry.traffic.selectors import arms_of, live_arms, with_arms

COLUMNS = ("Requests per second", "Errors", "p95, last hour")
NOTE = (
    "Requests and errors are from the last 5 minutes, updated once a minute. Errors include every request that was turned"
    " away, such as by a stop or a limit."
)
_RECENT_MINUTES = 5
_ALARMING = 0.01
_SPLITS_SHOWN, _LOST_SHOWN = 12, 3


def draw_for_model(request: HttpRequest, model: Model) -> SafeString:
    """Every arm that had requests in the period."""
    period, series = _period_and_series(request, model.pk)
    traffic = model_traffic(
        series,
        period,
        numbers=_numbers(series),
        shares=_shares(model.pk, series),
        live=[arm.version for arm in live_arms(model)],
    )
    return _draw(request, traffic, series, model.pk, of=f"{model}", away=turned_away(_counts_of(series)))


def draw_for_version(request: HttpRequest, version: Version) -> SafeString:
    """The version's own arms, in every split."""
    period, series = _period_and_series(request, version.model_id)
    traffic = version_traffic(
        series, period, version.pk, numbers=_numbers(series), shares=_shares(version.model_id, series)
    )
    away = turned_away(_counts_of(series, version.pk))
    return _draw(request, traffic, series, version.model_id, of=f"{version}", away=away)


def draw_columns(_request: HttpRequest, models: Sequence[Model]) -> Mapping[int, list[SafeString | str]]:
    """Rates and a sparkline for each Model, from one query."""
    end = written_until()
    counts = models_between(model_ids=[model.pk for model in models], start=end - HOUR, end=end, step=MINUTE)
    return {model.pk: _cells(counts.get(model.pk, [])) for model in models}


def requests_refused_by_stop(model: Model) -> list[str]:
    """For the preview of a stop: how many requests it would refuse."""
    end = written_until()
    counts = models_between(model_ids=[model.pk], start=end - _RECENT_MINUTES * MINUTE, end=end, step=MINUTE)
    rate = _sum(counts.get(model.pk, [])).ok / (_RECENT_MINUTES * 60)
    if not rate:
        return []
    text = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
    return [f"{text} requests per second were answered over the last 5 minutes; new requests will get 503."]


def _sum(steps: Iterable[Counts | None]) -> Counts:
    total = Counts()
    for counts in steps:
        if counts is not None:
            total.add_all(counts)
    return total


def _cells(steps: Sequence[Counts | None]) -> list[SafeString | str]:
    recent = _sum(steps[-_RECENT_MINUTES:])
    rate = recent.error_rate
    away = turned_away([recent])
    spark = sparkline(
        "p95 over the last hour",
        [counts.latency_s(0.95) if counts else None for counts in steps],
        write=latency,
    )
    context = {
        "errors": percent(recent.turned_away / recent.requests) if recent.requests else None,
        "away": away.short if away is not None else "",
        "is_alarming": rate is not None and rate >= _ALARMING,
        "spark": spark,
    }
    return [
        per_second(recent.requests / (_RECENT_MINUTES * 60)),
        render_to_string("admin/inference/cell_errors.html", context),
        render_to_string("admin/inference/cell_p95.html", context),
    ]


def _period_and_series(request: HttpRequest, model_id: int) -> tuple[Period, Series]:
    period = PERIODS.get(request.GET.get("figures", ""), PERIODS["hour"])
    start, end = period.window()
    return period, series_between(model_id=model_id, start=start, end=end, step=period.step)


def _numbers(series: Series) -> dict[int, int]:
    ids = {key.version_id for arms in series.steps.values() for key in arms}
    return dict(Version.objects.filter(pk__in=ids).values_list("pk", "number"))


def _shares(model_id: int, series: Series) -> dict[tuple[int, int], float]:
    """The target shares of the newest splits: percent by split and version number."""
    numbers = {key.split for arms in series.steps.values() for key in arms if key.arm}
    newest = sorted(numbers, reverse=True)[:_SPLITS_SHOWN]
    splits = with_arms(Split.objects.filter(model_id=model_id, number__in=newest))
    return {(split.number, arm.version): arm.percent for split in splits for arm in arms_of(split)}


def _counts_of(series: Series, version_id: int | None = None) -> Iterator[Counts]:
    """All counts of a series, or those of one version."""
    for arms in series.steps.values():
        yield from (counts for key, counts in arms.items() if version_id in {None, key.version_id})


def _draw(
    request: HttpRequest, traffic: Traffic, series: Series, model_id: int, of: str, away: TurnedAway | None
) -> SafeString:
    lost = counters_lost_between(series.start, series.end + HOUR)
    context = {
        "of": of,
        "traffic": traffic,
        "turned_away": away,
        "periods": PERIODS.values(),
        "last_request": None if traffic.arms else newest_minute(model_id),
        "lost": [(event, _missing_from(event.data)) for event in reversed(lost[-_LOST_SHOWN:])],
        "more_lost": max(0, len(lost) - _LOST_SHOWN),
    }
    return render_to_string("admin/inference/traffic.html", context, request)


def _missing_from(data: Mapping[str, Any]) -> datetime | None:
    """The start of the minute in which a lost process was last seen; its counts from then on are missing."""
    try:
        return datetime.fromisoformat(str(data.get("last_seen"))).replace(second=0, microsecond=0)
    except ValueError:
        return None
