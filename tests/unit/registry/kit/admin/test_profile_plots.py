import pytest

from registry.kit.admin.profile_plots import HEIGHT, WIDTH, profile_plot


def test_points_lie_within_the_picture_in_the_order_of_batches():
    plot = profile_plot([("a", [[64, 6.0], [1, 0.4], [8, 1.1]])])

    (line,) = plot.lines
    xs, ys = [float(point.x) for point in line.points], [float(point.y) for point in line.points]
    assert xs == sorted(xs)
    assert ys == sorted(ys, reverse=True)
    assert min(xs + ys) > 0 and max(xs) < WIDTH and max(ys) < HEIGHT
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
