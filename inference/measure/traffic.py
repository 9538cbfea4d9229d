"""What the Traffic panels show: a table of arms, plots, and a line for each step of the period."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from inference.measure.compaction import start_of_hour
from inference.measure.counts import NO_VERSION, Counts
from inference.measure.selectors import MINUTE, ArmSummary, Series, written_until
from registry.kit.admin.plots import (
    AWAY,
    LOOKS,
    Charts,
    Mark,
    TimeAxis,
    TimePlot,
    charts,
    looks_of,
    time_plot,
)

HOUR = timedelta(hours=1)
SHARES = (0.5, 0.95, 0.99)
_ARMS_SHOWN, _STEPS_SHOWN = 12, 400
_LEAST_ERROR_SCALE = 0.01  # the top of the error plot if nothing fails


def per_second(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 10 else f"{value:.2g}"


def percent(share: float) -> str:
    """Two significant digits, and 0 % only for zero."""
    value = share * 100
    if value == 0:
        return "0 %"
    if value < 0.01:
        return "< 0.01 %"
    if value < 1:
        return f"{value:.2f} %"
    return f"{value:.1f} %" if value < 99.95 else "100 %"


def latency(seconds: float) -> str:
    """Only as precise as the buckets are."""
    if seconds >= 1:
        return f"{seconds:.1f} s" if seconds < 100 else f"{seconds:.0f} s"
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.1 else f"{seconds * 1000:.2g} ms"


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time that a page can show."""

    name: str
    title: str
    length: timedelta
    step: timedelta
    each: str
    time_format: str

    def window(self) -> tuple[datetime, datetime]:
        end = written_until()
        if self.step == MINUTE:
            return end - self.length, end
        return start_of_hour(end - MINUTE) + HOUR - self.length, end

    def tick(self, moment: datetime) -> str:
        """The label of a moment below the plot; empty for most."""
        local = timezone.localtime(moment)
        if self.step == MINUTE:
            return f"{local:%H:%M}" if local.minute % 15 == 0 else ""
        if self.length <= timedelta(days=1):
            return f"{local:%H:%M}" if local.hour % 6 == 0 else ""
        return f"{local:%a %-d}" if local.hour == 0 else ""

    def write(self, moment: datetime) -> str:
        return timezone.localtime(moment).strftime(self.time_format)

    def axis(self, series: Series) -> TimeAxis:
        return TimeAxis(series.moments, series.end, self.tick, self.write)


PERIODS = {
    period.name: period
    for period in (
        Period("hour", "Last hour", HOUR, MINUTE, "minute", "%H:%M"),
        Period("day", "Last 24 hours", timedelta(days=1), HOUR, "hour", "%a %H:%M"),
        Period("week", "Last 7 days", timedelta(days=7), HOUR, "hour", "%a %-d %b %H:%M"),
    )
}


@dataclass(frozen=True, slots=True)
class CountsText:
    """Counts as text."""

    counts: Counts
    per_second: str

    @property
    def requests(self) -> str:
        return f"{self.counts.requests:,}"

    @property
    def failed(self) -> str:
        return f"{self.counts.errors:,}"

    @property
    def refused(self) -> str:
        return f"{self.counts.refused:,}"

    @property
    def error_rate(self) -> str:
        rate = self.counts.error_rate
        return "–" if rate is None else percent(rate)

    @property
    def latencies(self) -> list[str]:
        """p50, p95 and p99."""
        seconds = [self.counts.latency_s(share) for share in SHARES]
        return ["–" if value is None else latency(value) for value in seconds]


@dataclass(frozen=True, slots=True)
class ArmLine:
    """One line of the table of arms."""

    version_id: int
    version: int | None  # None: the version was deleted, or none was chosen
    split: int | None  # None: callers named the version
    target_share: str
    actual_share: str
    text: CountsText
    live: str = ""  # when its split was current, if that was not the whole period

    @property
    def has_no_version(self) -> bool:
        """These requests were turned away before a version was chosen."""
        return self.version_id == NO_VERSION


@dataclass(frozen=True, slots=True)
class StepLine:
    """One version in one step."""

    at: str
    version: str
    share: str
    text: CountsText


@dataclass(frozen=True, slots=True)
class Traffic:
    """Everything that the panel shows."""

    period: Period
    newest: datetime | None
    arms: list[ArmLine]
    other_arms: int
    charts: Charts
    legend: list[tuple[str, int]]
    steps: list[StepLine]
    other_steps: int


Numbers = Mapping[int, int]  # version number by version id
Shares = Mapping[tuple[int, int], float]  # target share in percent, by split and version number
Spans = Mapping[int, tuple[datetime, datetime | None]]  # from when until when a split was current


@dataclass(frozen=True, slots=True)
class Splits:
    """What a panel needs to know about the splits of a period."""

    shares: Shares
    spans: Spans


_PlotLine = tuple[str, int, Sequence[Counts | None]]  # label, look, counts of each step


def model_traffic(
    series: Series,
    period: Period,
    *,
    numbers: Numbers,
    splits: Splits,
    live: Sequence[int],
    marks: Sequence[Mark] = (),
) -> Traffic:
    """All arms, and a plotted line per version. `live` versions look as in the split bar."""
    requests: dict[int, int] = {}
    for arm in series.arms():
        requests[arm.version_id] = requests.get(arm.version_id, 0) + arm.requests
    busiest = sorted(requests, key=lambda pk: (numbers.get(pk) not in live, -requests[pk]))[:LOOKS]
    shown = {pk: numbers.get(pk, -pk) for pk in busiest if pk != NO_VERSION}  # negative: deleted
    looks = looks_of([*sorted(live), *sorted(shown.values(), key=lambda number: (number < 0, number))])
    lines = [
        (_version_label(pk, numbers), looks[shown[pk]] if pk in shown else AWAY, series.by_version(pk))
        for pk in sorted(busiest, key=lambda pk: numbers.get(pk, 0))
    ]
    plots = [
        *_rate_plots(lines, series, period),
        _plot("p95", lines, series, period, lambda _, counts: counts.latency_s(0.95), latency),
    ]
    legend = [(label, look) for label, look, _ in lines]
    arms = _arms(series, period, numbers, splits)
    return _traffic(series, period, arms, _steps(series, period, numbers), plots, legend, marks)


def version_traffic(
    series: Series,
    period: Period,
    version_id: int,
    *,
    numbers: Numbers,
    splits: Splits,
    marks: Sequence[Mark] = (),
) -> Traffic:
    """The arms of one version, and its latencies in one plot."""
    counts = series.by_version(version_id)
    number = numbers.get(version_id, 1)
    own = looks_of([number])[number]
    latencies = [
        (
            f"p{share * 100:.0f}",
            (own + step) % LOOKS,
            [each.latency_s(share) if each else None for each in counts],
        )
        for step, share in enumerate(SHARES, 1)
    ]
    label = _version_label(version_id, numbers)
    legend = [(label, own), *((name, look) for name, look, _ in latencies)]
    title = ", ".join(name for name, *_ in latencies)
    plots = [
        *_rate_plots([(label, own, counts)], series, period),
        time_plot(title, latencies, axis=period.axis(series), write=latency),
    ]
    arms = [arm for arm in _arms(series, period, numbers, splits) if arm.version_id == version_id]
    steps = [step for step in _steps(series, period, numbers) if step[0] == version_id]
    return _traffic(series, period, arms, steps, plots, legend, marks)


def _traffic(
    series: Series,
    period: Period,
    arms: list[ArmLine],
    steps: list[tuple[int, StepLine]],
    plots: list[TimePlot],
    legend: list[tuple[str, int]],
    marks: Sequence[Mark],
) -> Traffic:
    return Traffic(
        period=period,
        newest=series.newest,
        arms=arms[:_ARMS_SHOWN],
        other_arms=max(0, len(arms) - _ARMS_SHOWN),
        charts=charts(plots, axis=period.axis(series), marks=marks),
        legend=legend,
        steps=[line for _, line in steps[:_STEPS_SHOWN]],
        other_steps=max(0, len(steps) - _STEPS_SHOWN),
    )


def _rate_plots(lines: Sequence[_PlotLine], series: Series, period: Period) -> list[TimePlot]:
    return [
        _plot("Requests per second", lines, series, period, _rate_of(series), per_second, if_none=0.0),
        _plot(
            "Errors", lines, series, period, lambda _, counts: counts.error_rate, percent, _LEAST_ERROR_SCALE
        ),
    ]


def _plot(
    title: str,
    lines: Sequence[_PlotLine],
    series: Series,
    period: Period,
    value: Callable[[datetime, Counts], float | None],
    write: Callable[[float], str],
    least_top: float = 0.0,
    if_none: float | None = None,
) -> TimePlot:
    """Plot a value of each step's counts; `if_none` for a step without requests."""
    moments = series.moments
    values = [
        (
            label,
            look,
            [value(at, step) if step else if_none for at, step in zip(moments, counts, strict=True)],
        )
        for label, look, counts in lines
    ]
    return time_plot(title, values, axis=period.axis(series), write=write, least_top=least_top)


def _arms(series: Series, period: Period, numbers: Numbers, splits: Splits) -> list[ArmLine]:
    """The arms of every split, newest first, then the versions that callers named.

    An arm's rate is over the time in which its split was current, not over the whole period.
    """
    summaries = series.arms()
    split_requests: dict[int, int] = {}
    named: dict[int, ArmSummary] = {}
    for arm in summaries:
        if arm.arm:
            split_requests[arm.split] = split_requests.get(arm.split, 0) + arm.requests
        else:
            named.setdefault(arm.version_id, ArmSummary(version_id=arm.version_id)).add_all(arm)
    spans = {arm.split: _live_span(series, splits.spans.get(arm.split)) for arm in summaries if arm.arm}
    whole = (series.start, series.end)
    return [
        ArmLine(
            version_id=arm.version_id,
            version=numbers.get(arm.version_id),
            split=arm.split if arm.arm else None,
            target_share=_target_share(arm, numbers, splits.shares),
            actual_share=percent(arm.requests / split_requests[arm.split]) if arm.arm else "",
            text=CountsText(arm, _rate_text(arm.requests, *(spans[arm.split] if arm.arm else whole))),
            live=_live_text(spans[arm.split], whole, period) if arm.arm else "",
        )
        for arm in [*(arm for arm in summaries if arm.arm), *named.values()]
    ]


def _live_span(series: Series, span: tuple[datetime, datetime | None] | None) -> tuple[datetime, datetime]:
    """The part of the period in which a split was current; all of it if the split is not known."""
    if span is None:
        return series.start, series.end
    start, end = span
    return max(start, series.start), min(end or series.end, series.end)


def _rate_text(requests: int, start: datetime, end: datetime) -> str:
    """Requests per second. A split that was current for less than a second has no rate."""
    seconds = (end - start).total_seconds()
    return per_second(requests / seconds) if seconds >= 1 else "–"


def _live_text(span: tuple[datetime, datetime], whole: tuple[datetime, datetime], period: Period) -> str:
    start, end = span
    if end <= start:  # its last answers were counted after the next split became current
        return ""
    if end < whole[1]:
        return f"live {period.write(start)} – {period.write(end)}"
    return f"live from {period.write(start)}" if start > whole[0] else ""


def _target_share(arm: ArmSummary, numbers: Numbers, shares: Shares) -> str:
    share = shares.get((arm.split, numbers.get(arm.version_id, 0))) if arm.arm else None
    return "" if share is None else f"{share:g} %"


def _steps(series: Series, period: Period, numbers: Numbers) -> list[tuple[int, StepLine]]:
    """(version id, line) of every version in every step in which it had requests, newest first."""
    rate = _rate_of(series)
    lines = []
    for moment in sorted(series.steps, reverse=True):
        by_version = series.versions_at(moment)
        total = sum(counts.requests for version_id, counts in by_version.items() if version_id != NO_VERSION)
        at = timezone.localtime(moment).strftime(period.time_format)
        for version_id in sorted(by_version, key=lambda pk: numbers.get(pk, 0)):
            counts = by_version[version_id]
            text = CountsText(counts, per_second(rate(moment, counts)))
            share = "" if version_id == NO_VERSION else percent(counts.requests / total)
            number = "none" if version_id == NO_VERSION else str(numbers.get(version_id, "deleted"))
            lines.append((version_id, StepLine(at, number, share, text)))
    return lines


def _rate_of(series: Series) -> Callable[[datetime, Counts], float]:
    """Requests per second; the last step may be shorter than the others."""
    return lambda at, counts: counts.requests / (min(at + series.step, series.end) - at).total_seconds()


def _version_label(version_id: int, numbers: Numbers) -> str:
    if version_id == NO_VERSION:
        return "turned away"
    number = numbers.get(version_id)
    return f"version {number}" if number is not None else "a deleted version"
