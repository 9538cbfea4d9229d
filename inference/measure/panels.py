"""Draws what was measured: figures per arm on the pages of Models and versions, columns on the home page."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from inference.measure.counts import Counts
from inference.measure.figures import HOUR, PERIODS, Figures, Period, figures_of_model, figures_of_version
from inference.measure.selectors import (
    MINUTE,
    Series,
    counters_lost_between,
    models_between,
    newest_minute,
    series_between,
    written_until,
)
from inference.measure.words import latency, per_second, percent
from registry.catalogue.models import Model, Version
from registry.kit.admin.plots import sparkline
from registry.traffic.models import Split
from registry.traffic.selectors import arms_of, live_arms, with_arms

COLUMNS = ("Requests a second", "Errors", "p95, last hour")
NOTE = "Requests and errors are those of the last 5 minutes. Each process writes what it counted when a minute ends."
_LATELY = 5  # minutes that the home page's rates are of
_ALARMING = 0.01
_SHOWN_SPLITS, _SHOWN_LOST = 12, 3


def draw_for_model(request: HttpRequest, model: Model) -> SafeString:
    """Every arm that was asked in the period."""
    period, series = _asked_for(request, model.pk)
    figures = figures_of_model(
        series,
        period,
        numbers=_numbers(series),
        shares=_shares(model.pk, series),
        live=[arm.version for arm in live_arms(model)],
    )
    return _draw(request, figures, series, model.pk, of=f"{model}")


def draw_for_version(request: HttpRequest, version: Version) -> SafeString:
    """The version's own arms, whatever the split."""
    period, series = _asked_for(request, version.model_id)
    figures = figures_of_version(
        series, period, version.pk, numbers=_numbers(series), shares=_shares(version.model_id, series)
    )
    return _draw(request, figures, series, version.model_id, of=f"{version}")


def draw_columns(_request: HttpRequest, models: Sequence[Model]) -> Mapping[int, list[SafeString | str]]:
    """Rates and a sparkline for each Model, from one query."""
    end = written_until()
    found = models_between(model_ids=[model.pk for model in models], start=end - HOUR, end=end, step=MINUTE)
    return {model.pk: _cells(found.get(model.pk, [])) for model in models}


def _cells(steps: Sequence[Counts | None]) -> list[SafeString | str]:
    lately = Counts()
    for counts in steps[-_LATELY:]:
        if counts is not None:
            lately.add_all(counts)
    rate = lately.error_rate
    spark = sparkline(
        "p95 over the last hour",
        [counts.latency_s(0.95) if counts else None for counts in steps],
        write=latency,
    )
    shown = {
        "per_second": per_second(lately.asked / (_LATELY * 60)),
        "errors": percent(rate) if rate is not None else None,
        "is_alarming": rate is not None and rate >= _ALARMING,
        "spark": spark,
    }
    return [
        render_to_string(f"admin/inference/cell_{name}.html", shown) for name in ("rate", "errors", "p95")
    ]


def _asked_for(request: HttpRequest, model_id: int) -> tuple[Period, Series]:
    period = PERIODS.get(request.GET.get("figures", ""), PERIODS["hour"])
    start, end = period.window()
    return period, series_between(model_id=model_id, start=start, end=end, step=period.step)


def _numbers(series: Series) -> dict[int, int]:
    ids = {key.version_id for arms in series.steps.values() for key in arms}
    return dict(Version.objects.filter(pk__in=ids).values_list("pk", "number"))


def _shares(model_id: int, series: Series) -> dict[tuple[int, int], float]:
    """What the newest of these splits say: percent by split and version number."""
    asked: Collection[int] = {key.split for arms in series.steps.values() for key in arms if key.arm}
    newest = sorted(asked, reverse=True)[:_SHOWN_SPLITS]
    splits = with_arms(Split.objects.filter(model_id=model_id, number__in=newest))
    return {(split.number, arm.version): arm.percent for split in splits for arm in arms_of(split)}


def _draw(request: HttpRequest, figures: Figures, series: Series, model_id: int, of: str) -> SafeString:
    lost = counters_lost_between(series.start, series.end + HOUR)
    shown = {
        "of": of,
        "figures": figures,
        "periods": PERIODS.values(),
        "last_asked": None if figures.arms else newest_minute(model_id),
        "lost": [(event, _since(event.data)) for event in reversed(lost[-_SHOWN_LOST:])],
        "more_lost": max(0, len(lost) - _SHOWN_LOST),
    }
    return render_to_string("admin/inference/figures.html", shown, request)


def _since(data: Mapping[str, Any]) -> datetime | None:
    """The minute that a lost process was in when it was last heard of: what it counted from then on is missing."""
    try:
        return datetime.fromisoformat(str(data.get("last_seen"))).replace(second=0, microsecond=0)
    except ValueError:
        return None
