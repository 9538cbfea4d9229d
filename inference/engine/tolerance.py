"""When two answers count as the same: within what a runtime's arithmetic does by itself with other batch sizes."""

import numpy as np

from inference.engine.backends import type_ndarray

RELATIVE, RELATIVE_FP16 = 1e-4, 1e-2  # of the largest number in the output
ABSOLUTE = 1e-6
ULPS = 4


def is_close(
    one: type_ndarray, other: type_ndarray, *, scale: float | None = None, times: float = 1.0
) -> bool:
    """Decimals within the tolerance, `times` of it; anything else, NaN and infinities included, exactly.

    `scale` is the largest number of the whole output where these are parts of it: a single number near zero has no
    size of its own, and is as inexact as its neighbours.
    """
    if one.dtype.kind != "f":
        return _is_equal(one, other)
    relative = RELATIVE_FP16 if one.dtype == np.float16 else RELATIVE
    return distance(one, other) <= times * (relative * _or_largest(scale, one) + ABSOLUTE)


def is_equal(
    one: type_ndarray, other: type_ndarray, *, scale: float | None = None, spread: float = 0.0
) -> bool:
    """The same up to a few units in the last place of the largest number, or up to `spread`."""
    if one.dtype.kind != "f":
        return _is_equal(one, other)
    ulp = float(np.spacing(np.asarray(_or_largest(scale, one), one.dtype)))
    return distance(one, other) <= max(ULPS * ulp, spread)


def distance(one: type_ndarray, other: type_ndarray) -> float:
    """The largest difference of two arrays of numbers; infinite where shapes, NaN or infinities differ."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return float("inf")
    if one.dtype.kind != "f":
        return 0.0 if _is_equal(one, other) else float("inf")
    finite = np.isfinite(one)
    if not np.isfinite(other[finite]).all() or not np.array_equal(
        one[~finite], other[~finite], equal_nan=True
    ):
        return float("inf")
    a, b = one[finite].astype(np.float64), other[finite].astype(np.float64)
    return float(np.abs(a - b).max(initial=0.0))


def largest(array: type_ndarray) -> float:
    """The largest finite number by size; 0 for what holds no decimals."""
    if array.dtype.kind != "f":
        return 0.0
    finite = array[np.isfinite(array)].astype(np.float64)
    return float(np.abs(finite).max(initial=0.0))


def _or_largest(scale: float | None, array: type_ndarray) -> float:
    return largest(array) if scale is None else scale


def _is_equal(one: type_ndarray, other: type_ndarray) -> bool:
    return one.dtype == other.dtype and bool(np.array_equal(one, other))
