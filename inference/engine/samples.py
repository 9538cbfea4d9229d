"""What a file is run on when nobody has sent anything: a size for every free axis, and values for small inputs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inference.tensors.prepare import Array
from inference.tensors.signature import Signature, TensorSpec

MOST_VALUES = 4096  # of one row of an input; what is larger is zeros


@dataclass(frozen=True, slots=True)
class Sample:
    """One row. An input that is not named has 1 on every free axis, and zeros or short texts.

    Values matter for what works as a parameter, an index or a category: for whole numbers and texts.
    """

    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)  # nested lists, of the shapes above

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
    def of(cls, signature: Signature, tensors: Mapping[str, Array]) -> "Sample":
        """The first row of these tensors, or all of them where the model takes no rows; decimals become zeros."""
        rows = {
            spec.name: tensors[spec.name][:1] if signature.has_row_axis else tensors[spec.name]
            for spec in required(signature)
        }
        return cls(
            {name: tensor.shape for name, tensor in rows.items()},
            {
                name: tensor.tolist()
                for name, tensor in rows.items()
                if tensor.dtype.kind != "f" and tensor.size <= MOST_VALUES
            },
        )


NOTHING_SAID = Sample()


def sample_inputs(signature: Signature, sample: Sample = NOTHING_SAID, *, rows: int = 1) -> dict[str, Array]:
    """Fill every required input: what the sample says, else zeros (valid as index, id and mask) or short texts.

    `rows` repeats the sample's row, where the model takes rows.
    """
    repeats = rows if takes_rows(signature, sample) else 1
    inputs = {}
    for spec in required(signature):
        one = _one(spec, sample)
        inputs[spec.name] = np.repeat(one, repeats, axis=0) if repeats != 1 else one
    return inputs


def takes_rows(signature: Signature, sample: Sample = NOTHING_SAID) -> bool:
    """Whether more rows can be put below the sample's one; a model that ran only on several at once may not count rows."""
    return signature.has_row_axis and all(
        sample.shapes.get(spec.name, (1,))[0] == 1 for spec in required(signature)
    )


def required(signature: Signature) -> list[TensorSpec]:
    return [spec for spec in signature.inputs if not spec.optional]


def _one(spec: TensorSpec, sample: Sample) -> Array:
    dims = (None,) if spec.any_rank else spec.shape
    shape = sample.shapes.get(spec.name) or tuple(1 if dim is None else dim for dim in dims)
    if spec.name in sample.values:
        return np.array(sample.values[spec.name], spec.dtype).reshape(shape)
    return np.full(shape, "text", dtype=object) if spec.datatype == "BYTES" else np.zeros(shape, spec.dtype)
