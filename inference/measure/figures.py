"""What a page shows of a Model's measurements: a table of arms, plots, and every step of the time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from inference.measure.counts import Counts
from inference.measure.merging import start_of_hour
from inference.measure.selectors import MINUTE, ArmSummary, Series, written_until
from inference.measure.windows import STOPPED
from inference.measure.words import latency, per_second, percent
from registry.kit.admin.plots import LOOKS, TimePlot, time_plot

HOUR = timedelta(hours=1)
SHARES = (0.5, 0.95, 0.99)
_SHOWN_ARMS, _SHOWN_STEPS = 12, 400
_LEAST_RATE = 0.01  # the top of the error plot where nothing fails


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time that a page can show."""

    name: str
    title: str
    length: timedelta
    step: timedelta
    each: str
    form: str  # of a moment, as strftime writes it

    def window(self) -> tuple[datetime, datetime]:
        end = written_until()
        if self.step == MINUTE:
            return end - self.length, end
        return start_of_hour(end - MINUTE) + HOUR - self.length, end

    def tick(self, moment: datetime) -> str:
        """The text below the plot for a moment that gets one."""
        here = timezone.localtime(moment)
        if self.step == MINUTE:
            return f"{here:%H:%M}" if here.minute % 15 == 0 else ""
        if self.length <= timedelta(days=1):
            return f"{here:%H:%M}" if here.hour % 6 == 0 else ""
        return f"{here:%a %-d}" if here.hour == 0 else ""


PERIODS = {
    period.name: period
    for period in (
        Period("hour", "Last hour, by minute", HOUR, MINUTE, "minute", "%H:%M"),
        Period("day", "Last 24 hours, by hour", timedelta(days=1), HOUR, "hour", "%a %H:%M"),
        Period("week", "Last 7 days, by hour", timedelta(days=7), HOUR, "hour", "%a %-d %b %H:%M"),
    )
}


@dataclass(frozen=True, slots=True)
class Told:
    """Counts in words."""

    counts: Counts
    per_second: str

    @property
    def asked(self) -> str:
        return f"{self.counts.asked:,}"

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
        found = [self.counts.latency_s(share) for share in SHARES]
        return ["–" if seconds is None else latency(seconds) for seconds in found]


@dataclass(frozen=True, slots=True)
class ShownArm:
    """One line of the table of arms."""

    version_id: int
    version: int | None  # None: no such version is there any more, or the Model was stopped
    split: int | None  # None: callers named the version, whatever the split
    share_set: str
    share_got: str
    told: Told

    @property
    def was_stopped(self) -> bool:
        return self.version_id == STOPPED


@dataclass(frozen=True, slots=True)
class ShownStep:
    """One version in one step."""

    at: str
    version: str
    share: str
    told: Told


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that the panel draws."""

    period: Period
    newest: datetime | None
    arms: list[ShownArm]
    other_arms: int
    plots: list[TimePlot]
    legend: list[tuple[str, int]]
    steps: list[ShownStep]
    other_steps: int


Numbers = Mapping[int, int]  # version number by version id
SharesSet = Mapping[tuple[int, int], float]  # percent by split and version number


def figures_of_model(
    series: Series, period: Period, *, numbers: Numbers, shares: SharesSet, live: Sequence[int]
) -> Figures:
    """All arms; a line per version, in the colours that the split bar gives those that are `live`."""
    asked: dict[int, int] = {}
    for arm in series.arms():
        asked[arm.version_id] = asked.get(arm.version_id, 0) + arm.asked
    busiest = sorted(asked, key=lambda one: (numbers.get(one) not in live, -asked[one]))[:LOOKS]
    order = [*live, *sorted({numbers.get(one, 0) for one in busiest} - {*live})]
    lines = [
        (_version(one, numbers), order.index(numbers.get(one, 0)), series.by_version(one))
        for one in sorted(busiest, key=lambda one: numbers.get(one, 0))
    ]
    plots = [
        _plot("Requests a second", lines, series, period, _rate_of(series), per_second, unasked=0.0),
        _plot("Errors", lines, series, period, lambda _, counts: counts.error_rate, percent, _LEAST_RATE),
        _plot("p95", lines, series, period, lambda _, counts: counts.latency_s(0.95), latency),
    ]
    return _figures(series, period, numbers, shares, None, plots, [(label, look) for label, look, _ in lines])


def figures_of_version(
    series: Series, period: Period, version_id: int, *, numbers: Numbers, shares: SharesSet
) -> Figures:
    """The version's own arms; latencies over one another."""
    own = series.by_version(version_id)
    names = [f"p{share * 100:.0f}" for share in SHARES]
    latencies = [
        (name, look, [counts.latency_s(share) if counts else None for counts in own])
        for look, (name, share) in enumerate(zip(names, SHARES, strict=True))
    ]
    lines = [(_version(version_id, numbers), 0, own)]
    plots = [
        _plot("Requests a second", lines, series, period, _rate_of(series), per_second, unasked=0.0),
        _plot("Errors", lines, series, period, lambda _, counts: counts.error_rate, percent, _LEAST_RATE),
        time_plot(", ".join(names), latencies, moments=series.moments, tick=period.tick, write=latency),
    ]
    legend = [(name, look) for name, look, _ in latencies]
    return _figures(series, period, numbers, shares, version_id, plots, legend)


Value = Callable[[datetime, Counts], float | None]


def _plot(
    title: str,
    lines: Sequence[tuple[str, int, Sequence[Counts | None]]],
    series: Series,
    period: Period,
    value: Value,
    write: Callable[[float], str],
    least_top: float = 0.0,
    unasked: float | None = None,
) -> TimePlot:
    moments = series.moments
    drawn = [
        (
            label,
            look,
            [value(at, counts) if counts else unasked for at, counts in zip(moments, own, strict=True)],
        )
        for label, look, own in lines
    ]
    return time_plot(title, drawn, moments=moments, tick=period.tick, write=write, least_top=least_top)


def _figures(
    series: Series,
    period: Period,
    numbers: Numbers,
    shares: SharesSet,
    version_id: int | None,
    plots: list[TimePlot],
    legend: list[tuple[str, int]],
) -> Figures:
    arms = [
        arm for arm in _arms(series, numbers, shares) if version_id is None or arm.version_id == version_id
    ]
    steps = [step for step in _steps(series, period, numbers) if version_id is None or step[0] == version_id]
    return Figures(
        period=period,
        newest=series.newest,
        arms=arms[:_SHOWN_ARMS],
        other_arms=max(0, len(arms) - _SHOWN_ARMS),
        plots=plots,
        legend=legend,
        steps=[shown for _, shown in steps[:_SHOWN_STEPS]],
        other_steps=max(0, len(steps) - _SHOWN_STEPS),
    )


def _arms(series: Series, numbers: Numbers, shares: SharesSet) -> list[ShownArm]:
    """The arms of every split, newest first, then the versions that callers named."""
    found = series.arms()
    of_split: dict[int, int] = {}
    named: dict[int, ArmSummary] = {}
    for arm in found:
        if arm.arm:
            of_split[arm.split] = of_split.get(arm.split, 0) + arm.asked
        else:
            named.setdefault(arm.version_id, ArmSummary(version_id=arm.version_id)).add_all(arm)
    seconds = (series.end - series.start).total_seconds()
    return [
        ShownArm(
            version_id=arm.version_id,
            version=numbers.get(arm.version_id),
            split=arm.split if arm.arm else None,
            share_set=_share_set(arm, numbers, shares),
            share_got=percent(arm.asked / of_split[arm.split]) if arm.arm else "",
            told=Told(arm, per_second(arm.asked / seconds)),
        )
        for arm in [*(arm for arm in found if arm.arm), *named.values()]
    ]


def _share_set(arm: ArmSummary, numbers: Numbers, shares: SharesSet) -> str:
    share = shares.get((arm.split, numbers.get(arm.version_id, 0))) if arm.arm else None
    return "" if share is None else f"{share:g} %"


def _steps(series: Series, period: Period, numbers: Numbers) -> list[tuple[int, ShownStep]]:
    """Every version in every step in which it was asked, newest first."""
    rate, found = _rate_of(series), []
    for moment in sorted(series.steps, reverse=True):
        of_step = series.versions_at(moment)
        total = sum(counts.asked for version_id, counts in of_step.items() if version_id != STOPPED)
        at = timezone.localtime(moment).strftime(period.form)
        for version_id in sorted(of_step, key=lambda one: numbers.get(one, 0)):
            counts = of_step[version_id]
            told = Told(counts, per_second(rate(moment, counts)))
            share = "" if version_id == STOPPED else percent(counts.asked / total)
            number = "stopped" if version_id == STOPPED else str(numbers.get(version_id, "gone"))
            found.append((version_id, ShownStep(at, number, share, told)))
    return found


def _rate_of(series: Series) -> Callable[[datetime, Counts], float]:
    """Requests a second; the last step may not be over."""
    return lambda at, counts: counts.asked / (min(at + series.step, series.end) - at).total_seconds()


def _version(version_id: int, numbers: Numbers) -> str:
    if version_id == STOPPED:
        return "turned away by a stop"
    number = numbers.get(version_id)
    return f"version {number}" if number is not None else "a version that is gone"
