"""Sample inputs for a file that has not received a request yet: a size for every free axis, and values for small inputs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inference.tensors.arrays import Array, Tensors
from inference.tensors.signature import Signature, TensorSpec

MAX_VALUES = 4096  # per row of an input; larger inputs are filled with zeros


@dataclass(frozen=True, slots=True)
class Sample:
    """One row. Inputs that are not listed have size 1 on every free axis, and hold zeros or short texts.

    Values matter for parameters, indexes and categories, so only whole numbers and texts are kept.
    """

    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)  # nested lists of those shapes

    def to_json(self) -> dict[str, Any]:
        return {
            "shapes": {name: list(shape) for name, shape in self.shapes.items()},
            "values": dict(self.values),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Sample":
        shapes = {name: tuple(map(int, shape)) for name, shape in data["shapes"].items()}
        return cls(shapes, dict(data["values"]))

    @classmethod
    def of(cls, signature: Signature, tensors: Tensors) -> "Sample":
        """The first row of these tensors, or all of them if the model has no row axis. Floats become zeros."""
        rows = {
            spec.name: tensors[spec.name][:1] if signature.has_row_axis else tensors[spec.name]
            for spec in signature.required_inputs
        }
        return cls(
            {name: tensor.shape for name, tensor in rows.items()},
            {
                name: tensor.tolist()
                for name, tensor in rows.items()
                if tensor.dtype.kind != "f" and tensor.size <= MAX_VALUES
            },
        )


EMPTY_SAMPLE = Sample()


def sample_inputs(signature: Signature, sample: Sample = EMPTY_SAMPLE, *, rows: int = 1) -> dict[str, Array]:
    """Fill every required input from the sample, or with zeros (valid as an index, id or mask) or short texts.

    `rows` repeats the sample's row if the model accepts several rows.
    """
    repeats = rows if takes_rows(signature, sample) else 1
    inputs = {}
    for spec in signature.required_inputs:
        row = _sample_row(spec, sample)
        inputs[spec.name] = np.repeat(row, repeats, axis=0) if repeats != 1 else row
    return inputs


def takes_rows(signature: Signature, sample: Sample = EMPTY_SAMPLE) -> bool:
    """Whether rows can be added to the sample's row. A first axis that only ran at a larger size may not hold rows."""
    return signature.has_row_axis and all(
        sample.shapes.get(spec.name, (1,))[0] == 1 for spec in signature.required_inputs
    )


def _sample_row(spec: TensorSpec, sample: Sample) -> Array:
    dims = (None,) if spec.any_rank else spec.shape
    shape = sample.shapes.get(spec.name) or tuple(1 if dim is None else dim for dim in dims)
    if spec.name in sample.values:
        return np.array(sample.values[spec.name], spec.dtype).reshape(shape)
    return np.full(shape, "text", dtype=object) if spec.datatype == "BYTES" else np.zeros(shape, spec.dtype)
