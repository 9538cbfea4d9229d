from datetime import UTC, datetime, timedelta

import pytest

from registry.kit.admin.plots import (
    AWAY,
    CHART_MARKS,
    LOOKS,
    PROFILE_FRAME,
    SPARK_FRAME,
    TIME_FRAME,
    Mark,
    MarkKind,
    TimeAxis,
    charts,
    looks_of,
    marks_between,
    profile_plot,
    spark_bars,
    time_plot,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MOMENTS = [NOON + timedelta(minutes=number) for number in range(6)]


END = NOON + timedelta(minutes=6)
AXIS = TimeAxis(MOMENTS, END, tick=lambda at: f"{at:%M}", title=lambda at: f"{at:%H:%M}")


def _plot(*lines, **more):
    return time_plot("p95", lines, axis=AXIS, write=str, **more)


def _mark(*, minutes, kind=MarkKind.CHANGE, sentence="split 7"):
    return Mark(NOON + timedelta(minutes=minutes), kind, sentence, "/there/")


def _x_of(share):
    return TIME_FRAME.left + share * (TIME_FRAME.right - TIME_FRAME.left)


def _points(piece):
    return [tuple(float(number) for number in point.split(",")) for point in piece.split()]


def test_a_line_is_broken_where_nothing_is_known():
    (line,) = _plot(("a", 0, [1, 2, None, 3, None, None])).lines

    assert [len(_points(piece)) for piece in line.pieces] == [2]
    assert len(line.dots) == 1


def test_points_lie_within_the_picture_and_higher_values_higher():
    plot = _plot(("a", 0, [0, 1, 2, 3, 4, 5]), ("b", 2, [10, None, None, None, None, 9]))

    points = _points(plot.lines[0].pieces[0])
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert [y for _, y in points] == sorted((y for _, y in points), reverse=True)
    assert all(0 < x < TIME_FRAME.width and 0 < y < TIME_FRAME.height for x, y in points)
    assert [line.look for line in plot.lines] == [0, 2]
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


def test_a_step_is_drawn_in_its_middle_even_if_it_is_not_over():
    axis = TimeAxis(MOMENTS, END - timedelta(seconds=30), tick=lambda _: "", title=str)

    assert [round(at * 330) for at in axis.middles] == [30, 90, 150, 210, 270, 315]


def test_an_axis_of_one_step_has_its_value_in_the_middle():
    assert TimeAxis([NOON], END, tick=str, title=str).middles == [0.5]


def test_a_mark_lies_between_the_steps_around_it_and_says_when_it_was():
    shown = charts([_plot(("a", 0, [1] * 6))], axis=AXIS, marks=[_mark(minutes=2.75), _mark(minutes=5)])

    assert [float(drawn.x) for drawn in shown.marks] == [
        pytest.approx(_x_of(minutes / 6), abs=0.1) for minutes in (2.75, 5)
    ]
    assert [(mark["step"], mark["text"]) for mark in shown.data["marks"]] == [
        (2, "12:02 split 7"),
        (5, "12:05 split 7"),
    ]


def test_the_list_of_marks_begins_with_the_newest_and_folds_the_rest():
    shown = charts([], axis=AXIS, marks=[_mark(minutes=number / 2) for number in range(8)])

    assert [drawn.index for drawn in shown.newest_marks] == [7, 6, 5, 4, 3]
    assert [drawn.index for drawn in shown.older_marks] == [2, 1, 0]


def test_the_script_gets_values_with_their_texts_and_the_steps():
    plot = time_plot(
        "Errors", [("a", 0, [0.123456789, None, 0, 0, 0, 0])], axis=AXIS, write=lambda v: f"{v:.0%}"
    )

    (line,) = charts([plot], axis=AXIS).data["plots"][0]["lines"]
    assert line["values"][:3] == [0.12346, None, 0.0]
    assert line["texts"][:3] == ["12%", "", "0%"]
    assert [title for _, title in charts([plot], axis=AXIS).data["steps"]][:2] == ["12:00", "12:01"]


@pytest.mark.parametrize(
    ("values", "tops"),
    [
        ([10, 0.3, None, 0, 0, 0], [10, 5, 2, 1, 0.5, 0.2]),
        ([7, 7, 7, 7, 7, 7], [10, 5]),
        ([0] * 6, [1]),
        ([1e9, 1e-9, 0, 0, 0, 0], [1e9, 5e8, 2e8, 1e8, 5e7, 2e7, 1e7, 5e6, 2e6, 1e6, 5e5, 2e5]),
    ],
    ids=["a wide range", "one value", "zeros", "a range too wide"],
)
def test_a_zoomed_plot_can_choose_from_lower_scales(values, tops):
    scales = _plot(("a", 0, values)).data["scales"]

    assert [top for top, _ in scales] == pytest.approx(tops)
    assert all(len(texts) == 3 for _, texts in scales)


def test_marks_of_all_sources_are_sorted_and_bounded():
    def many(_model, _start, _end):
        return [_mark(minutes=number / 100, sentence=str(number)) for number in range(200)]

    def one(_model, _start, _end):
        return [_mark(minutes=1.985, sentence="other"), _mark(minutes=60, sentence="later")]

    with CHART_MARKS.changed(**{name: lambda *_: [] for name, _ in CHART_MARKS.items()}, many=many, one=one):
        found = marks_between(None, NOON, END)

    assert len(found) == 60
    assert [mark.sentence for mark in found[-3:]] == ["198", "other", "199"]


def test_a_source_of_marks_that_fails_is_left_out():
    def broken(_model, _start, _end):
        raise ValueError("no such table")

    nothing = {name: lambda *_: [] for name, _ in CHART_MARKS.items()}
    with CHART_MARKS.changed(**nothing, broken=broken, works=lambda *_: [_mark(minutes=1)]):
        assert [mark.sentence for mark in marks_between(None, NOON, END)] == ["split 7"]


def _bars(path):
    return [part.split("v-")[1].split("h")[0] for part in path.split("M")[1:]]


def test_bars_show_one_percent_of_errors_however_low_they_are():
    bars = spark_bars("Requests", [(0, 0), (1000, 1), (10, 0.1), (500, 500)], write=str)

    assert _bars(bars.whole) == ["22.0", "1.0", "11.0"]
    assert _bars(bars.bad) == ["0.0", "2.0", "11.0"]
    assert bars.label == "Requests: at most 1000, last 500; errors in 3 of 4"


def test_bars_stay_within_the_picture():
    bars = spark_bars("Requests", [(number, 0) for number in range(1, 25)], write=str)

    xs = [float(part.split(",")[0]) for part in bars.whole.split("M")[1:]]
    assert len(xs) == 24
    assert min(xs) >= SPARK_FRAME.left and max(xs) < SPARK_FRAME.right
    assert bars.bad == ""
    assert bars.label.endswith("no errors")


def test_no_requests_are_no_bars():
    assert spark_bars("Requests", [(0, 0)] * 24, write=str) is None
    assert spark_bars("Requests", [], write=str) is None


def test_points_of_a_profile_lie_within_the_picture_in_the_order_of_batches():
    plot = profile_plot([(3, [[64, 6.0], [1, 0.4], [8, 1.1]])])

    (line,) = plot.lines
    xs, ys = [float(point.x) for point in line.points], [float(point.y) for point in line.points]
    assert xs == sorted(xs)
    assert ys == sorted(ys, reverse=True)
    assert min(xs + ys) > 0 and max(xs) < PROFILE_FRAME.width and max(ys) < PROFILE_FRAME.height
    assert plot.label == "version 3: 1 row in 0.4 ms, 64 rows in 6 ms"
    assert [text for _, text in plot.y_ticks] == ["0 ms", "5 ms", "10 ms"]
    assert [text for _, text in plot.x_ticks] == ["1", "8", "64"]


def test_two_profiles_share_their_scales():
    plot = profile_plot([(3, [[1, 1.0]]), (9, [[1, 2.0], [4, 3.0]]), (1, None)])

    assert [(line.label, line.look) for line in plot.lines] == [("version 3", 2), ("version 9", 3)]
    assert plot.lines[0].points[0].x == plot.lines[1].points[0].x
    assert plot.lines[0].points[0].y != plot.lines[1].points[0].y


@pytest.mark.parametrize(
    "profile", [None, [], "text", 5, {}, [[1]], [["a", "b"]], [[0, 1]], [[1, -1]], [[1, float("nan")]]], ids=str
)  # fmt: skip
def test_what_is_no_profile_is_not_drawn(profile):
    assert profile_plot([(3, profile)]) is None


def test_one_point_and_no_time_at_all_are_drawn():
    assert len(profile_plot([(3, [[1, 0.0]])]).lines[0].path.split()) == 1


def test_many_batch_sizes_keep_few_ticks():
    plot = profile_plot([(3, [[2**power, power] for power in range(1, 20)])])

    assert len(plot.x_ticks) <= 8


@pytest.mark.parametrize(
    ("numbers", "looks"),
    [([3], [2]), ([1, 2, 3], [0, 1, 2]), ([7, 12], [1, 2]), ([2, 7, 3], [1, 2, 3]), ([1, 6, 1], [0, 1])],
    ids=["one", "several", "the later gives way", "in order", "named twice"],
)
def test_a_number_has_its_own_look(numbers, looks):
    assert list(looks_of(numbers).values()) == looks


def test_more_numbers_than_looks_share_them():
    looks = looks_of(range(1, 12))

    assert {looks[number] for number in range(1, 6)} == set(range(LOOKS))
    assert looks[11] == looks[1]
    assert AWAY not in looks.values()
