"""Reads examples as people write them: tensors as they are sent, or one row without the axis of rows."""

from collections.abc import Mapping
from typing import Any

from inference.engine.signature import Signature, TensorSpec
from inference.engine.tensors import Array, prepare


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
