"""One number of many rows."""

import pytest

from inference.checks.answers.metrics import MAX_WRONG, Accuracy, MacroF1, MeanError


def tallied(kind, pairs):
    tally = kind()
    for row, (expected, got) in enumerate(pairs, start=1):
        tally.add(row, expected, got)
    return tally


def test_accuracy_is_the_share_of_right_answers():
    tally = tallied(Accuracy, [("a", "a"), ("b", "a"), ("b", "b"), ("c", None)])

    assert tally.value() == 0.5
    assert tally.wrong() == [
        {"row": 2, "expected": "b", "got": "a"},
        {"row": 4, "expected": "c", "got": None},
    ]


@pytest.mark.parametrize(
    ("pairs", "value"),
    [
        ([("a", "a"), ("b", "b")], 1.0),
        ([("a", "b"), ("b", "a")], 0.0),
        ([("a", "a")] * 9 + [("b", "a")], 18 / 19 / 2),  # right in 90 %, and blind to b
        ([("a", "a"), ("a", "b"), ("b", "b")], 2 / 3),
        ([("a", "a"), ("a", "x")], 1 / 3),  # a label that nothing is called counts against it
    ],
    ids=["right", "swapped", "blind to the rare", "mixed", "unknown answer"],
)
def test_f1_is_the_mean_over_labels(pairs, value):
    assert tallied(MacroF1, pairs).value() == pytest.approx(value)


def test_error_is_the_mean_over_rows_of_their_mean_distance():
    tally = tallied(MeanError, [([0.0, 0.0], [1.0, 3.0]), ([5.0], [5.0]), ([1.0], [0.0])])

    assert tally.value() == 1.0
    assert [one["row"] for one in tally.wrong()] == [1, 3]


def test_only_some_wrong_rows_are_kept_the_worst_of_errors():
    pairs = [(row, -1) for row in range(3 * MAX_WRONG)]
    assert [one["row"] for one in tallied(Accuracy, pairs).wrong()] == list(range(1, MAX_WRONG + 1))

    worst = tallied(MeanError, [([float(row)], [0.0]) for row in range(3 * MAX_WRONG)]).wrong()
    assert (len(worst), worst[0]["row"], worst[-1]["row"]) == (MAX_WRONG, 3 * MAX_WRONG, 2 * MAX_WRONG + 1)


def test_no_rows_are_no_division_by_zero():
    assert [tallied(kind, []).value() for kind in (Accuracy, MacroF1, MeanError)] == [0, 0, 0]
