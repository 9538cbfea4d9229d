from datetime import UTC, datetime, timedelta

import pytest

from registry.kit.admin.plots import (
    PROFILE_FRAME,
    SPARK_FRAME,
    TIME_FRAME,
    profile_plot,
    sparkline,
    time_plot,
)

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
    assert all(0 < x < TIME_FRAME.width and 0 < y < TIME_FRAME.height for x, y in points)
    assert plot.lines[1].look < 5
    assert [text for _, text in plot.y_ticks] == ["0.0", "5.0", "10.0"]
    assert [text for _, text in plot.x_ticks] == ["00", "01", "02", "03", "04", "05"]


def test_the_plot_is_told_to_those_who_hear_it():
    plot = _plot(("version 1", 0, [3, 1, 2, None, None, None]), ("version 2", 1, [None] * 6))

    assert plot.label == "p95. version 1: between 1 and 3, last 2; version 2: no data"


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
    assert all(0 < x < SPARK_FRAME.width and 0 < y < SPARK_FRAME.height for x, y in points)
    assert sparkline("p95", [None, None], write=str) is None


def test_points_of_a_profile_lie_within_the_picture_in_the_order_of_batches():
    plot = profile_plot([("a", [[64, 6.0], [1, 0.4], [8, 1.1]])])

    (line,) = plot.lines
    xs, ys = [float(point.x) for point in line.points], [float(point.y) for point in line.points]
    assert xs == sorted(xs)
    assert ys == sorted(ys, reverse=True)
    assert min(xs + ys) > 0 and max(xs) < PROFILE_FRAME.width and max(ys) < PROFILE_FRAME.height
    assert plot.label == "a: 1 rows in 0.4 ms, 64 rows in 6 ms"
    assert [text for _, text in plot.y_ticks] == ["0 ms", "5 ms", "10 ms"]
    assert [text for _, text in plot.x_ticks] == ["1", "8", "64"]


def test_two_profiles_share_their_scales():
    plot = profile_plot([("a", [[1, 1.0]]), ("b", [[1, 2.0], [4, 3.0]]), ("none", None)])

    assert [line.label for line in plot.lines] == ["a", "b"]
    assert plot.lines[0].points[0].x == plot.lines[1].points[0].x
    assert plot.lines[0].points[0].y != plot.lines[1].points[0].y


@pytest.mark.parametrize(
    "profile", [None, [], "text", 5, {}, [[1]], [["a", "b"]], [[0, 1]], [[1, -1]], [[1, float("nan")]]], ids=str
)  # fmt: skip
def test_what_is_no_profile_is_not_drawn(profile):
    assert profile_plot([("a", profile)]) is None


def test_one_point_and_no_time_at_all_are_drawn():
    assert len(profile_plot([("a", [[1, 0.0]])]).lines[0].path.split()) == 1


def test_many_batch_sizes_keep_few_ticks():
    plot = profile_plot([("a", [[2**power, power] for power in range(1, 20)])])

    assert len(plot.x_ticks) <= 8
