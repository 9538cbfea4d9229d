from registry.intake.examples.golden_results import disagreements
from registry.intake.examples.models import MAX_WRONG, GoldenResult


def result(*wrong):
    return GoldenResult(
        value=0.5, rows=10, wrong=[{"row": row, "expected": "a", "got": got} for row, got in wrong]
    )


def test_rows_that_were_answered_differently_in_their_order():
    both = disagreements(result((3, "b"), (1, "b"), (5, "c")), result((3, "b"), (2, "x"), (5, "d")))

    told = [(one.row, one.left, one.right, one.left_is_right, one.right_is_right) for one in both.found]
    assert told == [(1, "b", "a", False, True), (2, "a", "x", True, False), (5, "c", "d", False, False)]
    assert both.complete


def test_the_same_answers_are_no_disagreement():
    assert disagreements(result((1, "b")), result((1, "b"))).found == []


def test_beyond_a_list_that_was_cut_nothing_is_told():
    cut = result(*[(row, "b") for row in range(1, MAX_WRONG + 1)])

    both = disagreements(cut, result((MAX_WRONG + 5, "b")))

    assert (both.known_to, len(both.found)) == (MAX_WRONG, MAX_WRONG)
    assert not both.complete
