"""Examples are read as they are sent, or as one row."""

import pytest

from inference.checks.answers.examples import read_example
from inference.tensors.errors import InvalidInput
from inference.tensors.signature import Signature, TensorSpec


def signature(*shape, **more):
    return Signature((TensorSpec("x", "FP32", shape, **more),), ())


@pytest.mark.parametrize(
    ("shape", "value", "got", "is_row"),
    [
        ((None, 2), [1.0, 2.0], (1, 2), True),
        ((None, 2), [[1.0, 2.0]], (1, 2), False),
        ((None, 2), [[1.0, 2.0], [3.0, 4.0]], (2, 2), False),
        ((None,), 1.0, (1,), True),
        ((1, 2), [1.0, 2.0], (1, 2), True),
        ((2, 2), [[1.0, 2.0], [3.0, 4.0]], (2, 2), False),
        ((None, 2, 2), [[1.0, 2.0], [3.0, 4.0]], (1, 2, 2), True),
    ],
    ids=["row", "tensor", "rows", "one number", "one row at a time", "fixed", "a matrix each"],
)
def test_the_axis_of_rows_may_be_left_out(shape, value, got, is_row):
    tensors, was_row = read_example(signature(*shape), {"x": value})

    assert (tensors["x"].shape, was_row) == (got, is_row)


@pytest.mark.parametrize("value", [[1.0], [], "text", [[[1.0, 2.0]]], None])
def test_what_does_not_fit_is_refused(value):
    with pytest.raises(InvalidInput):
        read_example(signature(None, 2), {"x": value})


def test_all_inputs_are_rows_or_none():
    both = Signature((TensorSpec("a", "FP32", (None, 2)), TensorSpec("b", "FP32", (None,))), ())

    with pytest.raises(InvalidInput):
        read_example(both, {"a": [1.0, 2.0], "b": [1.0]})
