"""Where the points and ticks of a latency profile lie; the template draws them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from registry.kit.admin.time_plots import round_up

WIDTH, HEIGHT = 440, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 12, 40
_MOST_TICKS = 8

Profile = list[tuple[float, float]]  # rows of a batch, milliseconds


@dataclass(frozen=True, slots=True)
class Point:
    x: str
    y: str
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    label: str
    points: list[Point]

    @property
    def path(self) -> str:
        return " ".join(f"{point.x},{point.y}" for point in self.points)


@dataclass(frozen=True, slots=True)
class Plot:
    lines: list[Line]
    x_ticks: list[tuple[str, str]]
    y_ticks: list[tuple[str, str]]
    label: str
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    bottom: int = HEIGHT - _BOTTOM


def profile_plot(profiles: Iterable[tuple[str, Any]]) -> Plot | None:
    """Lay out (label, profile) pairs over one another; None where no profile has a point."""
    series = [(label, points) for label, found in profiles if (points := _points(found))]
    if not series:
        return None
    batches = sorted({batch for _, points in series for batch, _ in points})
    top = round_up(max(ms for _, points in series for _, ms in points))

    def x(batch: float) -> str:
        span = math.log2(batches[-1]) - math.log2(batches[0])
        share = (math.log2(batch) - math.log2(batches[0])) / span if span else 0.5
        return f"{_LEFT + 8 + share * (WIDTH - _LEFT - _RIGHT - 16):.1f}"

    def y(ms: float) -> str:
        return f"{HEIGHT - _BOTTOM - ms / top * (HEIGHT - _TOP - _BOTTOM):.1f}"

    lines = [
        Line(
            label,
            [Point(x(batch), y(ms), f"{batch:g} rows in {ms:.3g} ms") for batch, ms in points],
        )
        for label, points in series
    ]
    every = math.ceil(len(batches) / _MOST_TICKS)
    return Plot(
        lines=lines,
        x_ticks=[(x(batch), f"{batch:g}") for batch in batches[::every]],
        y_ticks=[(y(top * part), f"{top * part:.3g} ms") for part in (0, 0.5, 1)],
        label="; ".join(_told(label, points) for label, points in series),
    )


def _points(found: Any) -> Profile:
    """What is a pair of a batch size and a time; anything else is not drawn."""
    if not isinstance(found, Sequence) or isinstance(found, str):
        return []
    return sorted(
        (float(pair[0]), float(pair[1]))
        for pair in found
        if isinstance(pair, Sequence)
        and len(pair) == 2
        and all(isinstance(number, (int, float)) and math.isfinite(number) for number in pair)
        and pair[0] >= 1
        and pair[1] >= 0
    )


def _told(label: str, points: Profile) -> str:
    """The plot for those who hear it."""
    ends = [points[0], points[-1]] if len(points) > 1 else points
    return f"{label}: {', '.join(f'{batch:g} rows in {ms:.3g} ms' for batch, ms in ends)}"
