"""Plots as coordinates that templates draw as SVG: lines over time, sparklines, and latency by batch size.

`charts.js` reads the same plots from `Charts.data` for its crosshair and its zoom. All texts are written here.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from heapq import nlargest
from typing import Any

import structlog

from registry.kit.registrations import Registrations

log = structlog.get_logger("roundhouse.console")

LOOKS = 5  # distinct colours and dashes in the stylesheet
AWAY = LOOKS  # one more, for what is no version's
_MOST_TICKS = 8
_MOST_MARKS, _MARKS_SHOWN = 60, 5
_MOST_SCALES = 12  # how far a zoomed plot may shrink its vertical axis
_SIGNIFICANT = 5  # digits of a value, more than a screen has pixels

_Y_TICKS = (0, 0.5, 1)
_LEAST_WHOLE, _LEAST_BAD = 1.0, 2.0  # heights of the smallest bars
_ALARMING = 0.01

Values = Sequence[float | None]
Write = Callable[[float], str]
Profile = list[tuple[float, float]]  # rows of a batch, milliseconds


class MarkKind(StrEnum):
    """What a vertical line stands for; each kind has a colour in the stylesheet."""

    CHANGE = "change"
    DEPLOY = "deploy"  # a version began to answer, or was loaded
    STOP = "stop"
    START = "start"


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened to a Model: a vertical line in its charts and a line in the list below them."""

    at: datetime
    kind: MarkKind
    sentence: str
    url: str = ""


# Takes the Model, and the start and end of the time shown; reads at most a bounded number of rows.
MarksOf = Callable[[Any, datetime, datetime], Iterable[Mark]]
CHART_MARKS: Registrations[MarksOf] = Registrations("source of chart marks")


def marks_between(model: Any, start: datetime, end: datetime) -> list[Mark]:
    """The newest marks of all sources, oldest first. A source that fails is left out; the charts still work."""
    found: list[Mark] = []
    for name, marks_of in CHART_MARKS.items():
        try:
            found.extend([mark for mark in marks_of(model, start, end) if start <= mark.at < end])
        except Exception as error:
            log.error("chart marks failed", source=name, exc_info=error)
    newest = nlargest(_MOST_MARKS, found, key=lambda mark: mark.at)
    return sorted(newest, key=lambda mark: mark.at)


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture's size, and where its axes begin and end."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int

    def x(self, share: float, inset: int = 0) -> str:
        return f"{self.left + inset + share * (self.right - self.left - 2 * inset):.1f}"

    def y(self, share: float) -> str:
        return f"{self.bottom - min(share, 1) * (self.bottom - self.top):.1f}"


TIME_FRAME = Frame(440, 170, left=62, right=428, top=14, bottom=144)
PROFILE_FRAME = Frame(440, 190, left=58, right=426, top=12, bottom=150)
SPARK_FRAME = Frame(132, 28, left=3, right=129, top=3, bottom=25)


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """The steps from `moments[0]` to `end` that all plots of a panel share."""

    moments: Sequence[datetime]
    end: datetime
    tick: Callable[[datetime], str]  # the text below a moment; empty for most
    title: Callable[[datetime], str]  # a moment in a tooltip

    def share(self, at: datetime) -> float:
        """How far along the axis a moment is, from 0 to 1."""
        whole = self.end - self.moments[0]
        return min(1.0, max(0.0, (at - self.moments[0]) / whole)) if whole else 0.5

    @property
    def middles(self) -> list[float]:
        """Where each step's values are drawn. The last step may be shorter than the others."""
        ends = [*self.moments[1:], self.end]
        return [(self.share(at) + self.share(end)) / 2 for at, end in zip(self.moments, ends, strict=True)]


@dataclass(frozen=True, slots=True)
class TimeLine:
    """One line: its pieces between gaps, and points without a neighbour."""

    label: str
    look: int
    pieces: list[str]
    dots: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class TimePlot:
    title: str
    lines: list[TimeLine]
    x_ticks: list[tuple[str, str]]
    y_ticks: list[tuple[str, str]]
    label: str  # for screen readers
    data: dict[str, Any] = field(default_factory=dict)  # for charts.js
    width: int = TIME_FRAME.width
    height: int = TIME_FRAME.height
    left: int = TIME_FRAME.left
    right: int = TIME_FRAME.right
    top: int = TIME_FRAME.top
    bottom: int = TIME_FRAME.bottom


@dataclass(frozen=True, slots=True)
class DrawnMark:
    """A mark with its place in the plots; `index` connects the line with the entry in the list."""

    mark: Mark
    x: str
    index: int


@dataclass(frozen=True, slots=True)
class Charts:
    """Plots over the same time, with the marks that cross them."""

    plots: list[TimePlot]
    marks: list[DrawnMark]
    data: dict[str, Any]

    @property
    def newest_marks(self) -> list[DrawnMark]:
        return self.marks[::-1][:_MARKS_SHOWN]

    @property
    def older_marks(self) -> list[DrawnMark]:
        return self.marks[::-1][_MARKS_SHOWN:]


@dataclass(frozen=True, slots=True)
class SparkBars:
    """A bar per step, as two paths: all of it, and the bad part in front of that."""

    whole: str
    bad: str
    label: str
    width: int = SPARK_FRAME.width
    height: int = SPARK_FRAME.height
    left: int = SPARK_FRAME.left
    right: int = SPARK_FRAME.right
    bottom: int = SPARK_FRAME.bottom


@dataclass(frozen=True, slots=True)
class ProfilePoint:
    x: str
    y: str
    text: str


@dataclass(frozen=True, slots=True)
class ProfileLine:
    label: str
    look: int
    points: list[ProfilePoint]

    @property
    def path(self) -> str:
        return " ".join(f"{point.x},{point.y}" for point in self.points)


@dataclass(frozen=True, slots=True)
class ProfilePlot:
    lines: list[ProfileLine]
    x_ticks: list[tuple[str, str]]
    y_ticks: list[tuple[str, str]]
    label: str  # for screen readers
    width: int = PROFILE_FRAME.width
    height: int = PROFILE_FRAME.height
    left: int = PROFILE_FRAME.left
    right: int = PROFILE_FRAME.right
    bottom: int = PROFILE_FRAME.bottom


def looks_of(numbers: Iterable[int]) -> dict[int, int]:
    """The look of each number from 1, the same on all pages; if an earlier number has it, the next free one.

    Numbers share a look if all are taken.
    """
    looks: dict[int, int] = {}
    for number in numbers:
        wanted = [(number - 1 + step) % LOOKS for step in range(LOOKS)]
        free = [look for look in wanted if look not in looks.values()]
        looks.setdefault(number, [*free, *wanted][0])
    return looks


def time_plot(
    title: str,
    lines: Sequence[tuple[str, int, Values]],
    *,
    axis: TimeAxis,
    write: Write,
    least_top: float = 0.0,
) -> TimePlot:
    """Lay out lines of (label, look, a value per step) in one plot that starts at zero; None leaves a gap.

    Looks come from `looks_of`, or are `AWAY`.
    """
    known = [value for *_, values in lines for value in values if value is not None]
    top = _round_up(max([least_top, *known]))
    frame = TIME_FRAME
    middles = axis.middles
    return TimePlot(
        title=title,
        lines=[_time_line(frame, top, label, look, middles, values) for label, look, values in lines],
        x_ticks=[
            (frame.x(axis.share(moment)), text) for moment in axis.moments if (text := axis.tick(moment))
        ],
        y_ticks=[(frame.y(part), write(top * part)) for part in _Y_TICKS],
        label=f"{title}. " + "; ".join(_range(label, values, write) for label, _, values in lines),
        data={
            "title": title,
            "scales": [
                [scale, [write(scale * part) for part in _Y_TICKS]]
                for scale in _scales(top, known, least_top)
            ],
            "lines": [_line_data(label, look, values, write) for label, look, values in lines],
        },
    )


def charts(plots: Sequence[TimePlot], *, axis: TimeAxis, marks: Sequence[Mark] = ()) -> Charts:
    """Put plots over the same axis together, with the marks' lines through all of them."""
    drawn = [DrawnMark(mark, TIME_FRAME.x(axis.share(mark.at)), index) for index, mark in enumerate(marks)]
    titles = [axis.title(moment) for moment in axis.moments]
    middles = axis.middles
    data = {
        "frame": {"left": TIME_FRAME.left, "right": TIME_FRAME.right, "top": TIME_FRAME.top,
                  "bottom": TIME_FRAME.bottom, "width": TIME_FRAME.width, "height": TIME_FRAME.height},
        "start": round(axis.moments[0].timestamp() * 1000),
        "end": round(axis.end.timestamp() * 1000),
        "steps": [[round(at, 5), title] for at, title in zip(middles, titles, strict=True)],
        "marks": [
            {"at": round(axis.share(mark.at), 5), "step": _step_of(axis, mark.at), "kind": mark.kind,
             "text": f"{axis.title(mark.at)} {mark.sentence}"}
            for mark in marks
        ],
        "plots": [plot.data for plot in plots],
    }  # fmt: skip
    return Charts(list(plots), drawn, data)


def spark_bars(
    title: str, bars: Sequence[tuple[float, float]], *, write: Write, bad_is: str = "errors"
) -> SparkBars | None:
    """Lay out (whole, bad part) pairs as bars; None if all are zero. `bad_is`: what the bad part counts.

    A bad part of at least 1 % can be seen however low the bar is; a smaller one has its true height.
    """
    top = max((whole for whole, _ in bars), default=0)
    if top <= 0:
        return None
    frame, slot = SPARK_FRAME, (SPARK_FRAME.right - SPARK_FRAME.left) / len(bars)
    whole_path, bad_path = [], []
    for index, (whole, bad) in enumerate(bars):
        x = frame.left + index * slot
        if whole > 0:
            whole_path.append(_bar(frame, x, slot, whole / top, _LEAST_WHOLE))
        if bad > 0:
            bad_path.append(_bar(frame, x, slot, bad / top, _LEAST_BAD if bad >= _ALARMING * whole else 0))
    failing = sum(1 for _, bad in bars if bad > 0)
    label = f"{title}: at most {write(top)}, last {write(bars[-1][0])}"
    label += f"; {bad_is} in {failing} of {len(bars)}" if failing else f"; no {bad_is}"
    return SparkBars("".join(whole_path), "".join(bad_path), label)


def profile_plot(profiles: Iterable[tuple[int, Any]]) -> ProfilePlot | None:
    """Lay out (version number, profile) pairs in one plot; None if no profile has a point."""
    known = [(number, points) for number, profile in profiles if (points := _points(profile))]
    looks = looks_of(sorted(number for number, _ in known))
    series = [(f"version {number}", looks[number], points) for number, points in known]
    if not series:
        return None
    batches = sorted({batch for *_, points in series for batch, _ in points})
    top = _round_up(max(ms for *_, points in series for _, ms in points))
    frame = PROFILE_FRAME

    def x(batch: float) -> str:
        span = math.log2(batches[-1]) - math.log2(batches[0])
        share = (math.log2(batch) - math.log2(batches[0])) / span if span else 0.5
        return frame.x(share, inset=8)

    every = math.ceil(len(batches) / _MOST_TICKS)
    return ProfilePlot(
        lines=[
            ProfileLine(
                label,
                look,
                [ProfilePoint(x(batch), frame.y(ms / top), _point(batch, ms)) for batch, ms in points],
            )
            for label, look, points in series
        ],
        x_ticks=[(x(batch), f"{batch:g}") for batch in batches[::every]],
        y_ticks=[(frame.y(part), f"{top * part:.3g} ms") for part in (0, 0.5, 1)],
        label="; ".join(_ends(label, points) for label, _, points in series),
    )


def _round_up(value: float) -> float:
    """The next 1, 2 or 5 times a power of ten; 1 if there is nothing to show."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * 0.999)


def _scales(top: float, known: Sequence[float], least_top: float) -> list[float]:
    """Tops of the vertical axis that a zoomed plot can choose from, highest first."""
    least = max(least_top, min((value for value in known if value > 0), default=top))
    scales = [top]
    while scales[-1] > least * 1.001 and len(scales) < _MOST_SCALES:
        scales.append(_round_up(scales[-1] * 0.4))  # the next lower of 1, 2 and 5
    return scales


def _line_data(label: str, look: int, values: Values, write: Write) -> dict[str, Any]:
    return {
        "label": label,
        "look": look,
        "values": [None if value is None else float(f"{value:.{_SIGNIFICANT}g}") for value in values],
        "texts": ["" if value is None else write(value) for value in values],
    }


def _step_of(axis: TimeAxis, at: datetime) -> int:
    """The number of the step that a moment lies in."""
    return max(0, bisect_right(axis.moments, at) - 1)


def _bar(frame: Frame, x: float, slot: float, share: float, least: float) -> str:
    height = max(least, share * (frame.bottom - frame.top))
    return f"M{x:.1f},{frame.bottom}v-{height:.1f}h{slot - 1:.1f}v{height:.1f}z"


def _time_line(
    frame: Frame, top: float, label: str, look: int, middles: Sequence[float], values: Values
) -> TimeLine:
    pieces: list[list[tuple[str, str]]] = [[]]
    for middle, value in zip(middles, values, strict=True):
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append((frame.x(middle), frame.y(value / top)))
    return TimeLine(
        label,
        look,
        [" ".join(f"{x},{y}" for x, y in piece) for piece in pieces if len(piece) > 1],
        [piece[0] for piece in pieces if len(piece) == 1],
    )


def _range(label: str, values: Values, write: Write) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return f"{label}: no data"
    return f"{label}: between {write(min(known))} and {write(max(known))}, last {write(known[-1])}"


def _points(profile: Any) -> Profile:
    """The profile's valid pairs of a batch size and a time; the rest is not drawn."""
    if not isinstance(profile, Sequence) or isinstance(profile, str):
        return []
    return sorted(
        (float(pair[0]), float(pair[1]))
        for pair in profile
        if isinstance(pair, Sequence)
        and len(pair) == 2
        and all(isinstance(number, (int, float)) and math.isfinite(number) for number in pair)
        and pair[0] >= 1
        and pair[1] >= 0
    )


def _ends(label: str, points: Profile) -> str:
    ends = [points[0], points[-1]] if len(points) > 1 else points
    return f"{label}: {', '.join(_point(batch, ms) for batch, ms in ends)}"


def _point(batch: float, ms: float) -> str:
    return f"{batch:g} row{'' if batch == 1 else 's'} in {ms:.3g} ms"
