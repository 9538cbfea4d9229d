"""Reads examples as people write them: tensors as they are sent, or one row without the axis of rows."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from inference.tensors.errors import InvalidInput
from inference.tensors.prepare import Array, prepare
from inference.tensors.signature import Signature, TensorSpec

_MOST_ROWS = 16


def read_example(signature: Signature, inputs: Mapping[str, Any]) -> tuple[dict[str, Array], bool]:
    """Give the tensors, and whether they were written as one row; raises InvalidInput."""
    specs = {spec.name: spec for spec in signature.inputs if not spec.optional}
    is_row = bool(specs) and all(
        name in inputs and _lacks_row_axis(spec, inputs[name]) for name, spec in specs.items()
    )
    if not is_row:
        return prepare(signature, inputs), False
    return prepare(
        signature, {name: [value] if name in specs else value for name, value in inputs.items()}
    ), True


def example_rows(signature: Signature, examples: Iterable[Mapping[str, Any]]) -> dict[str, Array] | None:
    """Stack the rows of examples for a batch proof: those of the commonest shape; None where none can be read."""
    names = [spec.name for spec in signature.inputs if not spec.optional]
    by_shape: dict[tuple[Any, ...], list[dict[str, Array]]] = {}
    for inputs in examples:
        try:
            tensors, _ = read_example(signature, inputs)
        except InvalidInput:  # the step that runs the examples says so
            continue
        rows = {name: tensors[name] for name in names}
        if len({tensor.shape[:1] for tensor in rows.values()}) == 1 and all(map(len, rows.values())):
            by_shape.setdefault(tuple(tensor.shape[1:] for tensor in rows.values()), []).append(rows)
    if not by_shape:
        return None
    alike = max(by_shape.values(), key=len)
    return {name: np.concatenate([rows[name] for rows in alike])[:_MOST_ROWS] for name in names}


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
