"""Answers before and after a conversion: how far they may differ, by the kind of their numbers."""

import numpy as np
import pytest

from inference.checks.steps.conversion import LARGEST_DIFFERENCE, LARGEST_QUANTIZED, AnswersCompared

ROWS = np.linspace(-1, 1, 40, dtype=np.float32).reshape(20, 2)
WHOLE = np.arange(40, dtype=np.int8).reshape(20, 2)


def verdict(got, wanted, comparison=None):
    comparison = comparison or AnswersCompared(LARGEST_DIFFERENCE)
    comparison.add({"y": got}, wanted if isinstance(wanted, dict) else {"y": wanted})
    return comparison.what_is_wrong()


@pytest.mark.parametrize(
    ("got", "wanted", "said"),
    [
        (ROWS, ROWS, ""),
        (ROWS + 1e-5, ROWS, ""),
        (ROWS + 1e-3, ROWS, "of its range; 0.0001 is allowed"),
        (ROWS * np.nan, ROWS, "is NaN or infinite where the other is not"),
        (ROWS, np.where(ROWS > 0, np.inf, ROWS), "is NaN or infinite"),
        (np.where(ROWS > 0, np.inf, ROWS), np.where(ROWS > 0, np.inf, ROWS), ""),
        (np.where(ROWS > 0, -np.inf, ROWS), np.where(ROWS > 0, np.inf, ROWS), "is NaN or infinite"),
        (ROWS[:, :1], ROWS[:, 0], ""),
        (ROWS[:5], ROWS, "has the shape"),
        (ROWS[:, ::-1], ROWS, "of its range"),
        (WHOLE, WHOLE, ""),
        (WHOLE + 1, WHOLE, "the same label for 0.0% of the rows"),
        (np.array(["a", "b"]), np.array(["a", "b"], object), ""),
        (np.array(["a", "b"]), np.array(["a", "c"]), "the same label for 50.0%"),
        (ROWS, {"other": ROWS}, ""),
        (ROWS, {"other": ROWS, "more": ROWS}, "it has 1 outputs, and the other 2"),
    ],
)  # fmt: skip
def test_floats_by_the_range_and_labels_by_their_share(got, wanted, said):
    found = verdict(got, wanted)

    assert said in found if said else found == ""


def test_whole_numbers_of_a_quantized_file_may_be_rounded_the_other_way():
    rounded = AnswersCompared(LARGEST_QUANTIZED, step=1)
    assert verdict(WHOLE + 1, WHOLE, rounded) == ""

    assert verdict(WHOLE + 2, WHOLE, AnswersCompared(LARGEST_QUANTIZED, step=1)) != ""
