"""Compares a version's outputs with those that its makers saw."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from inference.engine.backends import Tensors, type_ndarray

_LONGEST_TEXT = 100


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that is not what was expected; an empty index means the whole output."""

    output: str
    index: tuple[int, ...]
    expected: str
    got: str

    def __str__(self) -> str:
        place = f"{self.output!r}" + (f" at {list(self.index)}" if self.index else "")
        return f"output {place} should be {self.expected} and is {self.got}"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "index": list(self.index)}


def differences(
    expected: Mapping[str, Any], got: Tensors, *, atol: float, rtol: float
) -> Iterator[Difference]:
    """Yield what is further from the expected than atol + rtol * |expected|, in the order of the outputs."""
    for name, values in expected.items():
        if name not in got:
            yield Difference(name, (), "there", f"missing; the outputs are {', '.join(got)}")
        else:
            yield from _in_one(name, values, got[name], atol, rtol)


def _in_one(name: str, values: Any, got: type_ndarray, atol: float, rtol: float) -> Iterator[Difference]:
    try:
        wanted = _as_array(values, got)
    except (ValueError, TypeError, OverflowError):
        yield Difference(name, (), "an array of numbers or texts", f"{got.dtype} of {list(got.shape)}")
        return
    if wanted.shape != got.shape:
        yield Difference(name, (), f"of shape {list(wanted.shape)}", f"of shape {list(got.shape)}")
        return
    for index in np.argwhere(_differs(wanted, got, atol, rtol)):
        place = tuple(int(at) for at in index)
        yield Difference(name, place, _told(wanted[place]), _told(got[place]))


def _as_array(values: Any, got: type_ndarray) -> "np.ndarray[Any, np.dtype[Any]]":
    """Read as wide as JSON is, so that a number which the output's type cannot hold differs from it."""
    if got.dtype.kind == "O":
        return np.array(values, dtype=object)
    return np.array(values, dtype=np.float64 if got.dtype.kind == "f" else None)


def _differs(wanted: Any, got: Any, atol: float, rtol: float) -> Any:
    if got.dtype.kind == "O" or wanted.dtype.kind not in "biuf":
        return np.asarray(wanted != got)
    left, right = wanted.astype(np.float64), got.astype(np.float64)
    return ~np.isclose(right, left, atol=atol, rtol=rtol, equal_nan=True)


def _told(value: Any) -> str:
    plain = value.item() if isinstance(value, np.generic) else value
    return f"{plain:.7g}" if isinstance(plain, float) else repr(plain)[:_LONGEST_TEXT]
