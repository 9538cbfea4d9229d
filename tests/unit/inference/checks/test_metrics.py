import numpy as np
import pytest

from inference.checks.golden_rows import GoldenSpan
from inference.checks.metrics import (
    MAX_WRONG,
    Accuracy,
    MacroF1,
    MeanError,
    SpanF1,
    label_name,
    predicted_label,
)

LABELS = ["a", "b", "c"]


@pytest.mark.parametrize(
    ("row", "labels", "answer"),
    [
        ([[0.1, 0.7, 0.2]], LABELS, "b"),
        ([0.1, 0.7, 0.2], None, 1),
        ([7], None, 7),
        ([np.nan, 0.7, 0.2], LABELS, None),
        ([], LABELS, None),
    ],
    ids=["label", "index", "value", "not a number", "nothing"],
)
def test_a_row_says_its_largest(row, labels, answer):
    assert predicted_label(np.array(row), labels) == answer


def test_a_text_answers_itself():
    assert predicted_label(np.array(["ripe"], dtype=object), None) == "ripe"


@pytest.mark.parametrize(
    ("label", "labels", "name"),
    [("b", LABELS, "b"), (1, LABELS, "b"), (3, LABELS, 3), (1, None, 1), (True, LABELS, True)],
)
def test_a_label_may_be_its_index(label, labels, name):
    assert label_name(label, labels) == name


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


PER, LOC = GoldenSpan("PER", 0, 3), GoldenSpan("LOC", 8, 14)


@pytest.mark.parametrize(
    ("pairs", "value"),
    [
        ([([PER, LOC], [PER, LOC])], 1.0),
        ([([PER], [GoldenSpan("PER", 0, 4)])], 0.0),
        ([([PER], [GoldenSpan("LOC", 0, 3)])], 0.0),
        ([([PER, LOC], [PER])], 2 / 3),
        ([([PER], [PER, LOC])], 2 / 3),
        ([([PER], [PER]), ([], [PER, LOC])], 0.5),  # over all rows, not the mean of theirs
        ([([], [])], 1.0),
    ],
    ids=["right", "other place", "other label", "one missing", "one too many", "micro", "nothing to find"],
)
def test_span_f1_counts_exact_entities_of_all_rows(pairs, value):
    assert tallied(SpanF1, pairs).value() == pytest.approx(value)


def test_wrong_spans_are_shown_with_their_text():
    tally = SpanF1()
    tally.add(1, [PER], [PER], text="Ada")
    tally.add(2, [PER], [], text="x" * 300)

    (wrong,) = tally.wrong()

    assert (wrong["row"], wrong["got"], len(wrong["text"])) == (2, [], 200)
    assert wrong["expected"] == [{"label": "PER", "start": 0, "end": 3}]
