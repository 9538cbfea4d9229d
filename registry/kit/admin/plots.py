"""Plots as coordinates that templates draw as SVG: lines over time, sparklines, and latency by batch size."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

LOOKS = 5  # distinct colours and dashes in the stylesheet
_MOST_TICKS = 8

Values = Sequence[float | None]
Write = Callable[[float], str]
Profile = list[tuple[float, float]]  # rows of a batch, milliseconds


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
    width: int = TIME_FRAME.width
    height: int = TIME_FRAME.height
    left: int = TIME_FRAME.left
    right: int = TIME_FRAME.right
    bottom: int = TIME_FRAME.bottom


@dataclass(frozen=True, slots=True)
class Sparkline:
    line: TimeLine
    label: str
    last: str
    width: int = SPARK_FRAME.width
    height: int = SPARK_FRAME.height


@dataclass(frozen=True, slots=True)
class ProfilePoint:
    x: str
    y: str
    text: str


@dataclass(frozen=True, slots=True)
class ProfileLine:
    label: str
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


def time_plot(
    title: str,
    lines: Sequence[tuple[str, int, Values]],
    *,
    moments: Sequence[datetime],
    tick: Callable[[datetime], str],
    write: Write,
    least_top: float = 0.0,
) -> TimePlot:
    """Lay out lines of (label, look, a value per moment) in one plot that starts at zero; None leaves a gap.

    `tick` returns the text below a moment, or "" for no tick there.
    """
    top = _round_up(
        max([least_top, *(value for *_, values in lines for value in values if value is not None)])
    )
    frame = TIME_FRAME
    return TimePlot(
        title=title,
        lines=[_time_line(frame, top, label, look, values) for label, look, values in lines],
        x_ticks=[
            (frame.x(_share(index, len(moments))), text)
            for index, moment in enumerate(moments)
            if (text := tick(moment))
        ],
        y_ticks=[(frame.y(part), write(top * part)) for part in (0, 0.5, 1)],
        label=f"{title}. " + "; ".join(_range(label, values, write) for label, _, values in lines),
    )


def sparkline(title: str, values: Values, *, write: Write) -> Sparkline | None:
    """Lay out a line without axes; None if there is no value."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    line = _time_line(SPARK_FRAME, _round_up(max(known)), "", 0, values)
    return Sparkline(line, _range(title, values, write), write(known[-1]))


def profile_plot(profiles: Iterable[tuple[str, Any]]) -> ProfilePlot | None:
    """Lay out (label, profile) pairs in one plot; None if no profile has a point."""
    series = [(label, points) for label, profile in profiles if (points := _points(profile))]
    if not series:
        return None
    batches = sorted({batch for _, points in series for batch, _ in points})
    top = _round_up(max(ms for _, points in series for _, ms in points))
    frame = PROFILE_FRAME

    def x(batch: float) -> str:
        span = math.log2(batches[-1]) - math.log2(batches[0])
        share = (math.log2(batch) - math.log2(batches[0])) / span if span else 0.5
        return frame.x(share, inset=8)

    every = math.ceil(len(batches) / _MOST_TICKS)
    return ProfilePlot(
        lines=[
            ProfileLine(
                label, [ProfilePoint(x(batch), frame.y(ms / top), _point(batch, ms)) for batch, ms in points]
            )
            for label, points in series
        ],
        x_ticks=[(x(batch), f"{batch:g}") for batch in batches[::every]],
        y_ticks=[(frame.y(part), f"{top * part:.3g} ms") for part in (0, 0.5, 1)],
        label="; ".join(_ends(label, points) for label, points in series),
    )


def _round_up(value: float) -> float:
    """The next 1, 2 or 5 times a power of ten; 1 if there is nothing to show."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * 0.999)


def _share(index: int, count: int) -> float:
    return index / (count - 1) if count > 1 else 0.5


def _time_line(frame: Frame, top: float, label: str, look: int, values: Values) -> TimeLine:
    pieces: list[list[tuple[str, str]]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append((frame.x(_share(index, len(values))), frame.y(value / top)))
    return TimeLine(
        label,
        look % LOOKS,
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
    return f"{batch:g} rows in {ms:.3g} ms"
