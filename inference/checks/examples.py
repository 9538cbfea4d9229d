"""Reads examples as people write them, and compares a version's outputs with the expected ones."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from inference.tensors.arrays import Array, Tensors
from inference.tensors.errors import InvalidInput
from inference.tensors.prepare import prepare
from inference.tensors.signature import Signature, TensorSpec

_MAX_ROWS = 16
_MAX_TEXT_LENGTH = 100


def read_example(signature: Signature, inputs: Mapping[str, Any]) -> tuple[dict[str, Array], bool]:
    """Return the tensors, and whether the example is one row without a row axis; raises InvalidInput."""
    specs = {spec.name: spec for spec in signature.required_inputs}
    is_row = bool(specs) and all(
        name in inputs and _lacks_row_axis(spec, inputs[name]) for name, spec in specs.items()
    )
    if not is_row:
        return prepare(signature, inputs), False
    return prepare(
        signature, {name: [value] if name in specs else value for name, value in inputs.items()}
    ), True


def example_rows(signature: Signature, examples: Iterable[Mapping[str, Any]]) -> dict[str, Array] | None:
    """Stack the rows of the examples with the most common shape; None if there is no row axis or none fits."""
    if not signature.has_row_axis:
        return None
    names = [spec.name for spec in signature.required_inputs]
    by_shape: dict[tuple[Any, ...], list[dict[str, Array]]] = {}
    for inputs in examples:
        try:
            tensors, _ = read_example(signature, inputs)
        except InvalidInput:  # the step that runs the examples reports it
            continue
        rows = {name: tensors[name] for name in names}
        if len({tensor.shape[:1] for tensor in rows.values()}) == 1 and all(map(len, rows.values())):
            by_shape.setdefault(tuple(tensor.shape[1:] for tensor in rows.values()), []).append(rows)
    if not by_shape:
        return None
    commonest = max(by_shape.values(), key=len)
    return {name: np.concatenate([rows[name] for rows in commonest])[:_MAX_ROWS] for name in names}


def _lacks_row_axis(spec: TensorSpec, value: Any) -> bool:
    if spec.any_rank or not spec.shape or spec.shape[0] not in {None, 1}:
        return False
    return _depth(value) == len(spec.shape) - 1


def _depth(value: Any) -> int:
    depth = 0
    while isinstance(value, list):
        depth += 1
        value = value[0] if value else None
    return depth


@dataclass(frozen=True, slots=True)
class OutputDifference:
    """A value that differs from the expected one. An empty index means the whole output."""

    output: str
    index: tuple[int, ...]
    expected: str
    got: str

    def __str__(self) -> str:
        position = f"{self.output!r}" + (f" at {list(self.index)}" if self.index else "")
        return f"output {position} should be {self.expected} but is {self.got}"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "index": list(self.index)}


def output_differences(
    expected: Mapping[str, Any], got: Tensors, *, atol: float, rtol: float
) -> Iterator[OutputDifference]:
    """Yield values that differ by more than atol + rtol * |expected|, in the order of the outputs."""
    for name, values in expected.items():
        if name not in got:
            yield OutputDifference(name, (), "present", f"missing; the outputs are {', '.join(got)}")
        else:
            yield from _differences_in(name, values, got[name], atol, rtol)


def _differences_in(
    name: str, values: Any, got: Array, atol: float, rtol: float
) -> Iterator[OutputDifference]:
    try:
        expected = _as_array(values, got)
    except (ValueError, TypeError, OverflowError):
        yield OutputDifference(name, (), "an array of numbers or text", f"{got.dtype} of {list(got.shape)}")
        return
    if expected.shape != got.shape:
        yield OutputDifference(name, (), f"of shape {list(expected.shape)}", f"of shape {list(got.shape)}")
        return
    for position in np.argwhere(_differ(expected, got, atol, rtol)):
        index = tuple(int(at) for at in position)
        yield OutputDifference(name, index, _format_value(expected[index]), _format_value(got[index]))


def _as_array(values: Any, got: Array) -> Array:
    """Read with JSON's precision, so that a number that the output's type cannot hold counts as different."""
    if got.dtype.kind == "O":
        return np.array(values, dtype=object)
    return np.array(values, dtype=np.float64 if got.dtype.kind == "f" else None)


def _differ(expected: Array, got: Array, atol: float, rtol: float) -> Any:
    if got.dtype.kind == "O" or expected.dtype.kind not in "biuf":
        return np.asarray(expected != got)
    left, right = expected.astype(np.float64), got.astype(np.float64)
    return ~np.isclose(right, left, atol=atol, rtol=rtol, equal_nan=True)


def _format_value(value: Any) -> str:
    plain = value.item() if isinstance(value, np.generic) else value
    return f"{plain:.7g}" if isinstance(plain, float) else repr(plain)[:_MAX_TEXT_LENGTH]
