"""A model's inputs and outputs, with the Open Inference Protocol's datatype names."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

Dim = int | None  # None: any size

# BYTES is an object array of str: ONNX strings are UTF-8, and the runtime returns str. Bytes that are not UTF-8 are
# passed as an `S` or `V` array (see `prepare`), and cannot be returned.
DTYPES: Mapping[str, "np.dtype[Any]"] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(np.object_),
}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    name: str
    datatype: str  # a key of DTYPES
    shape: tuple[Dim, ...]
    optional: bool = False  # the file has a default value
    any_rank: bool = False  # the file declares no shape at all; `shape` is then ()

    @property
    def dtype(self) -> "np.dtype[Any]":
        return DTYPES[self.datatype]


@dataclass(frozen=True, slots=True)
class Signature:
    """Inputs and outputs of a version, in the file's order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    json_outputs: frozenset[str] = frozenset()  # whose texts are JSON; a file's own outputs never are
    binary_inputs: frozenset[str] = frozenset()  # whose texts may be any bytes; a file's own inputs are UTF-8
    json_inputs: frozenset[str] = (
        frozenset()
    )  # a row's value may be any of JSON, and becomes its text; a text stays as it is
    id_inputs: frozenset[str] = frozenset()  # a row's value may be a whole number, and becomes its text
    may_lack: frozenset[str] = (
        frozenset()
    )  # optional inputs that a row may be without while others have them: NaN for a number, None for a text

    @property
    def required_inputs(self) -> list[TensorSpec]:
        return [spec for spec in self.inputs if not spec.optional]

    @property
    def has_row_axis(self) -> bool:
        """Whether every input that a row must have, or may be without while others have it, has a free first axis.

        Only a run can show whether that axis holds rows.
        """
        per_row = [spec for spec in self.inputs if not spec.optional or spec.name in self.may_lack]
        return bool(per_row) and all(spec.shape and spec.shape[0] is None for spec in per_row)

    def to_json(self) -> dict[str, Any]:
        return {
            "inputs": [asdict(spec) for spec in self.inputs],
            "outputs": [asdict(spec) for spec in self.outputs],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Signature":
        def specs(rows: list[dict[str, Any]]) -> tuple[TensorSpec, ...]:
            return tuple(TensorSpec(**{**row, "shape": tuple(row["shape"])}) for row in rows)

        return cls(inputs=specs(data["inputs"]), outputs=specs(data["outputs"]))
