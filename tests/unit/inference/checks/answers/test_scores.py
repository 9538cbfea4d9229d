"""Which output holds the scores, and what a row of them says."""

import numpy as np
import pytest

from inference.checks.answers.scores import answer_of, label_of, score_output
from inference.tensors.signature import Signature, TensorSpec

LABELS = ["a", "b", "c"]


def output(datatype="FP32", shape=(None, 3), **more):
    return TensorSpec("y", datatype, shape, **more)


@pytest.mark.parametrize(
    ("spec", "fits"),
    [
        (output(), True),
        (output(shape=(None, None)), True),
        (output("INT64"), True),
        (output(shape=(), any_rank=True), True),
        (output(shape=(None, 2)), False),
        (output("BYTES"), False),
        (output(shape=()), False),
    ],
    ids=["as many", "any", "integers", "any rank", "others", "texts", "a scalar"],
)
def test_scores_are_as_many_as_labels(spec, fits):
    other = TensorSpec("z", "BYTES", (None,))

    assert score_output(Signature((), (other, spec)), LABELS) == (spec if fits else None)


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
    assert answer_of(np.array(row), labels) == answer


def test_a_text_answers_itself():
    assert answer_of(np.array(["ripe"], dtype=object), None) == "ripe"


@pytest.mark.parametrize(
    ("label", "labels", "name"),
    [("b", LABELS, "b"), (1, LABELS, "b"), (3, LABELS, 3), (1, None, 1), (True, LABELS, True)],
)
def test_a_label_may_be_its_index(label, labels, name):
    assert label_of(label, labels) == name
