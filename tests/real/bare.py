"""The bare runtime, told what Roundhouse tells it: what it answers is what every caller must get."""

from dataclasses import dataclass

import numpy as np
import onnxruntime

from inference.tensors.arrays import is_close
from tests.real.corpus import RealFile
from tests.real.inputs import Inputs

_FATAL_ONLY = 4


@dataclass(frozen=True)
class Output:
    name: str | None  # none: a ZipMap gave it, which the served file lacks
    values: np.ndarray


class Bare:
    def __init__(self, file: RealFile) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL_ONLY
        self._session = onnxruntime.InferenceSession(file.path, options, providers=["CPUExecutionProvider"])

    def run(self, inputs: Inputs) -> list[Output]:
        names = [output.name for output in self._session.get_outputs()]
        return [
            _output(name, value) for name, value in zip(names, self._session.run(None, inputs), strict=True)
        ]


def differences(answer: dict[str, np.ndarray], expected: list[Output], *, is_exact: bool) -> list[str]:
    """In words, each output that is not as the bare runtime has it."""
    if len(answer) != len(expected):
        return [f"outputs {', '.join(answer)} instead of {len(expected)}"]
    found = []
    for (name, got), want in zip(answer.items(), expected, strict=True):
        if want.name not in {None, name}:
            found.append(f"output {name} where {want.name} should be")
        elif not _is_same(got, want.values, is_exact):
            found.append(f"{name}: {_shown(got)} instead of {_shown(want.values)}")
    return found


def _output(name: str, value) -> Output:
    if isinstance(value, list):  # a ZipMap's dictionaries, one for each row
        return Output(None, np.array([list(row.values()) for row in value], np.float32))
    return Output(name, value)


def _is_same(got: np.ndarray, want: np.ndarray, is_exact: bool) -> bool:
    if got.dtype != want.dtype or got.shape != want.shape:
        return False
    if is_exact or want.dtype.kind not in "f":
        return np.array_equal(got, want, equal_nan=want.dtype.kind == "f")
    return is_close(got, want)


def _shown(array: np.ndarray) -> str:
    return f"{array.dtype}{list(array.shape)} {array.ravel()[:4]}"
