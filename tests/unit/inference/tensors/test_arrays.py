import numpy as np
import pytest

from inference.tensors.arrays import distance, is_close, is_equal, largest

ONES = np.ones(4, np.float32)
NAN = np.array([1, np.nan, np.inf, -np.inf], np.float32)


OTHERS = {
    "equal": (ONES, True),
    "within": (ONES * np.float32(1.00009), True),
    "beyond": (ONES * np.float32(1.0002), False),
    "another type": (ONES.astype(np.float64), False),
    "another shape": (ONES[:3], False),
}


@pytest.mark.parametrize(("other", "close"), OTHERS.values(), ids=OTHERS)
def test_decimals_are_close_within_a_share_of_the_largest(other, close):
    assert is_close(ONES, other) is close


def test_a_part_is_as_inexact_as_the_whole():
    tiny = np.array([1e-3], np.float32)

    assert not is_close(tiny, tiny + np.float32(1e-4))
    assert is_close(tiny, tiny + np.float32(1e-4), scale=10.0)


def test_half_floats_have_a_wider_tolerance():
    halves = np.ones(4, np.float16)

    assert is_close(halves, halves * np.float16(1.005))
    assert not is_close(halves, halves * np.float16(1.05))


@pytest.mark.parametrize("dtype", [np.int64, np.bool_, object])
def test_what_is_no_decimal_must_be_the_same(dtype):
    one, other = np.array([0, 1, 1]).astype(dtype), np.array([0, 1, 0]).astype(dtype)

    assert is_close(one, one) and is_equal(one, one)
    assert not is_close(one, other) and not is_equal(one, other)


def test_what_is_not_finite_must_be_the_same():
    assert is_close(NAN, NAN.copy()) and is_equal(NAN, NAN.copy())
    assert distance(NAN, NAN[::-1]) == distance(ONES, NAN) == distance(NAN, ONES) == float("inf")
    assert largest(NAN) == 1.0


def test_equal_means_to_the_last_places():
    ulp = np.spacing(np.float32(1))

    assert is_equal(ONES, ONES + 4 * ulp)
    assert not is_equal(ONES, ONES + 6 * ulp)
    assert is_equal(ONES, ONES + 6 * ulp, spread=1e-5)
