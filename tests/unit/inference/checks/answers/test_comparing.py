"""Differences between what was expected of an output and what it gave."""

import numpy as np
import pytest

from inference.checks.answers.comparing import differences


def found(expected, got, *, atol=0.0, rtol=0.0):
    return list(differences({"y": expected}, {"y": got}, atol=atol, rtol=rtol))


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
    assert str(one) == "output 'y' at [1, 1] should be 4 and is 5"


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
        (["a"], np.array([1.0]), "an array of numbers or texts"),
        ([[1], [1, 2]], np.array([1.0]), "an array of numbers or texts"),
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

    (one,) = differences({"c": [1.0], "a": [1.0]}, got, atol=0, rtol=0)

    assert (one.output, one.index, one.got) == ("c", (), "missing; the outputs are a, b")
