import numpy as np
import pytest

from inference.checks.examples import output_differences, read_example
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


def found(expected, got, *, atol=0.0, rtol=0.0):
    return list(output_differences({"y": expected}, {"y": got}, atol=atol, rtol=rtol))


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        ([[1.0, 2.0]], np.array([[1.0, 2.0]], np.float32)),
        ([[1, 2]], np.array([[1.0, 2.0]], np.float32)),
        ([1, 2], np.array([1, 2], np.int64)),
        ([True, False], np.array([True, False])),
        (3.5, np.array(3.5)),
        (["a", "ü"], np.array(["a", "ü"], dtype=object)),
        ([], np.empty(0, np.float32)),
    ],
    ids=["floats", "whole numbers", "integers", "booleans", "scalar", "texts", "empty"],
)
def test_what_is_equal_does_not_differ(expected, got):
    assert found(expected, got) == []


def test_a_difference_says_where_and_what():
    (one,) = found([[1.0, 2.0], [3.0, 4.0]], np.array([[1, 2], [3, 5]], np.float32))

    assert (one.output, one.index, one.expected, one.got) == ("y", (1, 1), "4", "5")
    assert str(one) == "output 'y' at [1, 1] should be 4 but is 5"


@pytest.mark.parametrize(
    ("got", "atol", "rtol", "differs"),
    [
        (100.5, 0.5, 0.0, False),
        (100.6, 0.5, 0.0, True),
        (101.0, 0.0, 0.01, False),
        (101.1, 0.0, 0.01, True),
        (101.4, 0.5, 0.01, False),
    ],
)
def test_tolerances_add_up(got, atol, rtol, differs):
    assert bool(found([100.0], np.array([got]), atol=atol, rtol=rtol)) is differs


@pytest.mark.parametrize(
    ("expected", "got", "told"),
    [
        ([1.0], np.array([[1.0]]), "of shape [1]"),
        (["a"], np.array([1.0]), "an array of numbers or text"),
        ([[1], [1, 2]], np.array([1.0]), "an array of numbers or text"),
        (["a", "b"], np.array(["a", "c"], dtype=object), "'b'"),
        ([1.0], np.array([np.nan]), "1"),
        ([2**40], np.array([0], np.int32), str(2**40)),
    ],
    ids=["shape", "texts for numbers", "ragged", "another text", "not a number", "too large for the type"],
)
def test_what_is_not_comparable_differs(expected, got, told):
    assert [one.expected for one in found(expected, got, atol=9)][:1] == [told]


def test_an_output_that_is_not_there_differs_and_others_are_not_asked_for():
    got = {"a": np.array([1.0]), "b": np.array([2.0])}

    (one,) = output_differences({"c": [1.0], "a": [1.0]}, got, atol=0, rtol=0)

    assert (one.output, one.index, one.got) == ("c", (), "missing; the outputs are a, b")
