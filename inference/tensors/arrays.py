"""Helpers for arrays: their size, whether they are finite, and when two of them count as equal.

The tolerance allows for a runtime's own arithmetic differences between batch sizes.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Tensors = Mapping[str, Array]

RELATIVE, RELATIVE_FP16 = 1e-4, 1e-2  # of the largest number in the output
ABSOLUTE = 1e-6
ULPS = 4
SMALL = 64  # numbers
TEXT_BYTES = 50  # a text object's overhead


def byte_size(tensors: Tensors) -> int:
    """Bytes that the arrays hold, including the text objects that an object array points to."""
    return sum(
        array.nbytes + (sum(map(len, array.ravel().tolist())) + TEXT_BYTES * array.size)
        if array.dtype.kind == "O"
        else array.nbytes
        for array in tensors.values()
    )


def is_finite(array: Array) -> bool:
    """Whether the array holds no NaN or infinity; always true for anything but floating-point numbers."""
    if array.dtype.kind not in "fc":
        return True
    # After a run, numpy's code has left the CPU cache, and Python adds up a few scores faster than that code is loaded again.
    # A sum that is not finite may be an overflow of finite numbers, so check those properly.
    if array.size <= SMALL and array.dtype.kind == "f" and isfinite(sum(array.ravel().tolist())):
        return True
    return bool(np.count_nonzero(np.isfinite(array)) == array.size)


def is_close(one: Array, other: Array, *, scale: float | None = None, times: float = 1.0) -> bool:
    """Compare floats within `times` the tolerance; anything else, including NaN and infinity, must be equal.

    Pass `scale`, the largest number of the whole output, when comparing parts of it: a single number near zero
    is as inexact as its neighbours.
    """
    if one.dtype.kind != "f":
        return _is_identical(one, other)
    relative = RELATIVE_FP16 if one.dtype == np.float16 else RELATIVE
    return distance(one, other) <= times * (relative * _scale_of(one, scale) + ABSOLUTE)


def is_equal(one: Array, other: Array, *, scale: float | None = None, spread: float = 0.0) -> bool:
    """Whether two arrays are equal up to a few units in the last place of the largest number, or up to `spread`."""
    if one.dtype.kind != "f":
        return _is_identical(one, other)
    ulp = float(np.spacing(np.asarray(_scale_of(one, scale), one.dtype)))
    return distance(one, other) <= max(ULPS * ulp, spread)


def distance(one: Array, other: Array) -> float:
    """The largest difference between two arrays; infinite if shapes, NaNs or infinities differ."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return float("inf")
    if one.dtype.kind != "f":
        return 0.0 if _is_identical(one, other) else float("inf")
    finite = np.isfinite(one)
    if not np.isfinite(other[finite]).all() or not np.array_equal(
        one[~finite], other[~finite], equal_nan=True
    ):
        return float("inf")
    a, b = one[finite].astype(np.float64), other[finite].astype(np.float64)
    return float(np.abs(a - b).max(initial=0.0))


def largest(array: Array) -> float:
    """The largest finite absolute value; 0 for arrays without floats."""
    if array.dtype.kind != "f":
        return 0.0
    finite = array[np.isfinite(array)].astype(np.float64)
    return float(np.abs(finite).max(initial=0.0))


def _scale_of(array: Array, scale: float | None) -> float:
    return largest(array) if scale is None else scale


def _is_identical(one: Array, other: Array) -> bool:
    return one.dtype == other.dtype and bool(np.array_equal(one, other))
