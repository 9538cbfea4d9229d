"""Where lines over time lie, as SVG that a template draws; what is not known leaves a gap."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

WIDTH, HEIGHT = 440, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 12, 14, 26
SPARK_WIDTH, SPARK_HEIGHT = 132, 28
_SPARK_EDGE = 3
LOOKS = 5  # colours and dashes that the stylesheet tells apart

Values = Sequence[float | None]
Write = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class TimeLine:
    """One line: its pieces between gaps, and points that have no neighbour."""

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
    label: str  # the plot for those who hear it
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    bottom: int = HEIGHT - _BOTTOM


@dataclass(frozen=True, slots=True)
class Sparkline:
    line: TimeLine
    label: str
    last: str
    width: int = SPARK_WIDTH
    height: int = SPARK_HEIGHT


def time_plot(
    title: str,
    lines: Sequence[tuple[str, int, Values]],
    *,
    moments: Sequence[datetime],
    tick: Callable[[datetime], str],
    write: Write,
    least_top: float = 0.0,
) -> TimePlot:
    """Lay out (label, look, a value per moment) over one another, from zero up; `tick` names the moments that get one."""
    top = round_up(
        max([least_top, *(value for *_, values in lines for value in values if value is not None)])
    )
    place = _Place(len(moments), top, _LEFT, WIDTH - _RIGHT, _TOP, HEIGHT - _BOTTOM)
    return TimePlot(
        title=title,
        lines=[place.line(label, look, values) for label, look, values in lines],
        x_ticks=[(place.x(at), text) for at, moment in enumerate(moments) if (text := tick(moment))],
        y_ticks=[(place.y(top * part), write(top * part)) for part in (0, 0.5, 1)],
        label=f"{title}. " + "; ".join(_told(label, values, write) for label, _, values in lines),
    )


def sparkline(title: str, values: Values, *, write: Write) -> Sparkline | None:
    """A line without axes; None where nothing is known."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    edge = _SPARK_EDGE
    place = _Place(len(values), round_up(max(known)), edge, SPARK_WIDTH - edge, edge, SPARK_HEIGHT - edge)
    return Sparkline(place.line("", 0, values), _told(title, values, write), write(known[-1]))


def round_up(value: float) -> float:
    """The next 1, 2 or 5 of a power of ten; 1 where there is nothing to show."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * 0.999)


@dataclass(frozen=True, slots=True)
class _Place:
    """From number and value to the picture's units."""

    count: int
    highest: float
    left: float
    right: float
    top: float
    bottom: float

    def x(self, at: int) -> str:
        share = at / (self.count - 1) if self.count > 1 else 0.5
        return f"{self.left + share * (self.right - self.left):.1f}"

    def y(self, value: float) -> str:
        return f"{self.bottom - min(value / self.highest, 1) * (self.bottom - self.top):.1f}"

    def line(self, label: str, look: int, values: Values) -> TimeLine:
        pieces: list[list[tuple[str, str]]] = [[]]
        for at, value in enumerate(values):
            if value is None:
                pieces.append([])
            else:
                pieces[-1].append((self.x(at), self.y(value)))
        return TimeLine(
            label,
            look % LOOKS,
            [" ".join(f"{x},{y}" for x, y in piece) for piece in pieces if len(piece) > 1],
            [piece[0] for piece in pieces if len(piece) == 1],
        )


def _told(label: str, values: Values, write: Write) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return f"{label}: nothing"
    return f"{label}: between {write(min(known))} and {write(max(known))}, last {write(known[-1])}"
