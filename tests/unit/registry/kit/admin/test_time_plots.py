from datetime import UTC, datetime, timedelta

import pytest

from registry.kit.admin.time_plots import HEIGHT, SPARK_HEIGHT, SPARK_WIDTH, WIDTH, sparkline, time_plot

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MOMENTS = [NOON + timedelta(minutes=number) for number in range(6)]


def _plot(*lines, **more):
    return time_plot("p95", lines, moments=MOMENTS, tick=lambda at: f"{at:%M}", write=str, **more)


def _points(piece):
    return [tuple(float(number) for number in point.split(",")) for point in piece.split()]


def test_a_line_is_broken_where_nothing_is_known():
    (line,) = _plot(("a", 0, [1, 2, None, 3, None, None])).lines

    assert [len(_points(piece)) for piece in line.pieces] == [2]
    assert len(line.dots) == 1


def test_points_lie_within_the_picture_and_higher_values_higher():
    plot = _plot(("a", 0, [0, 1, 2, 3, 4, 5]), ("b", 7, [10, None, None, None, None, 9]))

    points = _points(plot.lines[0].pieces[0])
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert [y for _, y in points] == sorted((y for _, y in points), reverse=True)
    assert all(0 < x < WIDTH and 0 < y < HEIGHT for x, y in points)
    assert plot.lines[1].look < 5
    assert [text for _, text in plot.y_ticks] == ["0.0", "5.0", "10.0"]
    assert [text for _, text in plot.x_ticks] == ["00", "01", "02", "03", "04", "05"]


def test_the_plot_is_told_to_those_who_hear_it():
    plot = _plot(("version 1", 0, [3, 1, 2, None, None, None]), ("version 2", 1, [None] * 6))

    assert plot.label == "p95. version 1: between 1 and 3, last 2; version 2: nothing"


@pytest.mark.parametrize(
    ("values", "least_top", "top"), [([0] * 6, 0.0, "1.0"), ([0] * 6, 0.01, "0.01"), ([None] * 6, 0.0, "1.0")],
    ids=["zeros", "zeros with a least top", "nothing"],
)  # fmt: skip
def test_nothing_to_show_still_has_a_scale(values, least_top, top):
    assert _plot(("a", 0, values), least_top=least_top).y_ticks[-1][1] == top


def test_a_sparkline_says_its_range_and_its_last_value():
    spark = sparkline("p95", [None, 4, 2, None], write=str)

    assert (spark.label, spark.last) == ("p95: between 2 and 4, last 2", "2")
    points = _points(spark.line.pieces[0])
    assert all(0 < x < SPARK_WIDTH and 0 < y < SPARK_HEIGHT for x, y in points)
    assert sparkline("p95", [None, None], write=str) is None
