"""The Traffic panels of Models, versions and requests, the traffic columns of the home page, and what a stop would refuse."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from inference.measure.compaction import start_of_hour
from inference.measure.counts import Counts
from inference.measure.hours import HOURS, HourRate
from inference.measure.selectors import (
    MINUTE,
    Series,
    arms_between,
    counters_lost_between,
    models_between,
    newest_minute,
    series_between,
    written_until,
)
from inference.measure.traffic import (
    HOUR,
    PERIODS,
    CountsText,
    Period,
    Splits,
    Traffic,
    latency,
    model_traffic,
    per_second,
    percent,
    version_traffic,
)
from inference.measure.turned_away import TurnedAway, turned_away
from registry.catalogue.models import Model, Version
from registry.kit.admin.plots import marks_between, spark_bars
from registry.traffic.models import Split, SplitRequest
from registry.traffic.selectors import arms_of, current_split, live_arms, with_arms
from registry.traffic.transitions import RequestStatus

COLUMNS = ("Last 24 hours", "Requests per second", "Errors", "p95")
NUMBERS = COLUMNS[1:]
NOTE = (
    "Requests per second, errors and p95 are from the last 5 minutes, updated once a minute. Errors are requests that "
    "failed although the caller made no mistake; the line below them names everything that was turned away. Each bar of the "
    "last 24 hours is an hour, with errors in red."
)
_RECENT_MINUTES = 5
_ALARMING = 0.01
_SPLITS_SHOWN, _LOST_SHOWN = 12, 3
_LONGEST_COMPARISON = timedelta(days=7)


def draw_for_model(request: HttpRequest, model: Model) -> SafeString:
    """Every arm that had requests in the period."""
    return _draw_model(request, model, is_short=False)


def draw_short_for_model(request: HttpRequest, model: Model) -> SafeString:
    """The plots of the last hour, without the tables."""
    return _draw_model(request, model, is_short=True)


def _draw_model(request: HttpRequest, model: Model, *, is_short: bool) -> SafeString:
    period, series = _period_and_series(request, model.pk)
    traffic = model_traffic(
        series,
        period,
        numbers=_numbers(series),
        splits=_splits(model.pk, series),
        live=[arm.version for arm in live_arms(model)],
        marks=marks_between(model, series.start, series.end),
    )
    away = turned_away(_counts_of(series))
    return _draw(request, traffic, series, model.pk, of=f"{model}", away=away, is_short=is_short)


def draw_for_version(request: HttpRequest, version: Version) -> SafeString:
    """The version's own arms, in every split."""
    period, series = _period_and_series(request, version.model_id)
    traffic = version_traffic(
        series,
        period,
        version.pk,
        numbers=_numbers(series),
        splits=_splits(version.model_id, series),
        marks=marks_between(version.model, series.start, series.end),
    )
    away = turned_away(_counts_of(series, version.pk))
    return _draw(request, traffic, series, version.model_id, of=f"{version}", away=away)


def draw_columns(_request: HttpRequest, models: Sequence[Model]) -> Mapping[int, list[SafeString | str]]:
    """Rates, latency and the last 24 hours of each Model, from two queries for all of them."""
    end = written_until()
    model_ids = [model.pk for model in models]
    start = end - _RECENT_MINUTES * MINUTE
    recent = models_between(model_ids=model_ids, start=start, end=end, step=end - start)
    hours = HOURS.rates(model_ids, end)
    return {pk: _cells(_sum(recent.get(pk, [])), hours.get(pk, [])) for pk in model_ids}


def requests_refused_by_stop(model: Model) -> list[str]:
    """For the preview of a stop: how many requests it would refuse."""
    end = written_until()
    counts = models_between(model_ids=[model.pk], start=end - _RECENT_MINUTES * MINUTE, end=end, step=MINUTE)
    rate = _sum(counts.get(model.pk, [])).ok / (_RECENT_MINUTES * 60)
    if not rate:
        return []
    text = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
    return [f"{text} requests per second were answered over the last 5 minutes; new requests will get 503."]


def requests_per_second(model: Model) -> str:
    """The rate over the last 5 minutes, for the summary of a Model."""
    end = written_until()
    counts = models_between(model_ids=[model.pk], start=end - _RECENT_MINUTES * MINUTE, end=end, step=MINUTE)
    rate = _sum(counts.get(model.pk, [])).requests / (_RECENT_MINUTES * 60)
    return f"{per_second(rate)} requests/s" if rate else "no requests in 5 minutes"


def draw_for_request(request: HttpRequest, row: SplitRequest) -> SafeString | str:
    """How each arm has done since the split began: the live split, or for an approved request its own.

    Nothing for a request that was rejected or withdrawn, and at most the last 7 days.
    """
    split = row.split or (current_split(row.model) if row.status == RequestStatus.OPEN else None)
    if split is None or split.from_at is None:
        return ""
    end = min(written_until(), split.to_at or written_until())
    start = max(start_of_hour(split.from_at), end - _LONGEST_COMPARISON)
    found = arms_between(model_id=row.model_id, start=start, end=end) if start < end else []
    counts = {arm.version_id: arm for arm in found if arm.split == split.number and arm.arm}
    context = {
        "split": split,
        "is_cut": start > split.from_at,
        "arms": [
            (arm.version, share / 100, CountsText(counts.get(arm.version_id, Counts()), ""))
            for arm in split.arms.select_related("version").exclude(letter="").order_by("-version__number")
            if (share := split.shares()[arm.version_id])
        ],
    }
    return render_to_string("admin/inference/request_traffic.html", context, request)


def _sum(steps: Iterable[Counts | None]) -> Counts:
    total = Counts()
    for counts in steps:
        if counts is not None:
            total.add_all(counts)
    return total


def _cells(recent: Counts, hours: Sequence[HourRate]) -> list[SafeString | str]:
    rate, p95 = recent.error_rate, recent.latency_s(0.95)
    away = turned_away([recent])
    bars = spark_bars("Requests per second over the last 24 hours", hours, write=per_second)
    context = {
        "errors": percent(rate) if rate is not None else None,
        "away": away.short if away is not None else "",
        "is_alarming": rate is not None and rate >= _ALARMING,
        "bars": bars,
    }
    return [
        render_to_string("admin/inference/cell_day.html", context),
        per_second(recent.requests / (_RECENT_MINUTES * 60)),
        render_to_string("admin/inference/cell_errors.html", context),
        latency(p95) if p95 is not None else "–",
    ]


def _period_and_series(request: HttpRequest, model_id: int) -> tuple[Period, Series]:
    period = PERIODS.get(request.GET.get("figures", ""), PERIODS["hour"])
    start, end = period.window()
    return period, series_between(model_id=model_id, start=start, end=end, step=period.step)


def _numbers(series: Series) -> dict[int, int]:
    ids = {key.version_id for arms in series.steps.values() for key in arms}
    return dict(Version.objects.filter(pk__in=ids).values_list("pk", "number"))


def _splits(model_id: int, series: Series) -> Splits:
    """The newest splits: target shares in percent by split and version number, and when each was current."""
    numbers = {key.split for arms in series.steps.values() for key in arms if key.arm}
    newest = sorted(numbers, reverse=True)[:_SPLITS_SHOWN]
    splits = list(with_arms(Split.objects.filter(model_id=model_id, number__in=newest)))
    return Splits(
        shares={(split.number, arm.version): arm.percent for split in splits for arm in arms_of(split)},
        spans={split.number: (split.from_at, split.to_at) for split in splits if split.from_at is not None},
    )


def _counts_of(series: Series, version_id: int | None = None) -> Iterator[Counts]:
    """All counts of a series, or those of one version."""
    for arms in series.steps.values():
        yield from (counts for key, counts in arms.items() if version_id in {None, key.version_id})


def _draw(
    request: HttpRequest,
    traffic: Traffic,
    series: Series,
    model_id: int,
    of: str,
    away: TurnedAway | None,
    *,
    is_short: bool = False,
) -> SafeString:
    lost = counters_lost_between(series.start, series.end + HOUR)
    context = {
        "of": of,
        "is_short": is_short,
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
