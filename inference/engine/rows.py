"""Puts the rows of several requests into one run and gives each its own rows back."""

from collections.abc import Hashable, Sequence
from math import isfinite
from typing import NamedTuple

import numpy as np

from inference.engine.backends import Tensors, type_ndarray
from inference.engine.errors import RunFailed
from inference.tensors.errors import InferenceError
from inference.tensors.signature import Signature


class NotSplittable(RunFailed):
    """The model's outputs cannot be told apart by row."""


class Outcome(NamedTuple):
    """One run's outputs, shared by all its requests. `suspects`: outputs that hold a NaN or an infinity."""

    outputs: dict[str, type_ndarray]
    rows: int
    taken_at: float
    compute_s: float
    suspects: tuple[str, ...]
    is_merged: bool  # rows of several requests


class RowRules:
    """How the requests of one version merge; that they may is for its batch proof to say, not for its signature."""

    def __init__(self, signature: Signature, *, merges: bool) -> None:
        self._has_row_axis = signature.has_row_axis
        self.allow(merges)
        # A given optional input (a weight, a threshold) has no row axis and belongs to its own request.
        self._optional = frozenset(spec.name for spec in signature.inputs if spec.optional)
        # First size of the outputs that are the same for every request, () for a scalar; the others, and those whose
        # shape the file does not declare, have a row per input row until `check` finds otherwise.
        self._fixed = {
            spec.name: spec.shape[:1]
            for spec in signature.outputs
            if not spec.any_rank and (not spec.shape or spec.shape[0] is not None)
        }

    def allow(self, merges: bool) -> None:
        """Let requests share runs, or not any more."""
        self.merges = merges and self._has_row_axis

    def shape_of(self, tensors: Tensors, outputs: Sequence[str] | None) -> tuple[Hashable, int, int]:
        """Give key, rows and bytes; requests of equal key can share a run, and a new object equals no other."""
        nbytes, rows, merges = 0, 0, self.merges
        parts: list[Hashable] = [None if outputs is None else tuple(outputs)]
        for name, tensor in tensors.items():
            shape = tensor.shape
            nbytes += tensor.nbytes
            if name in self._optional:
                merges = False
                continue
            length = shape[0] if shape else 1
            if length != rows:
                if rows:
                    merges = False  # a query beside its documents: they run as they were sent
                if length > rows:
                    rows = length
            parts += (name, tensor.dtype, shape[1:])
        if not merges or not rows:
            return object(), rows if rows and self._has_row_axis else 1, nbytes
        return tuple(parts), rows, nbytes

    def check(self, outputs: dict[str, type_ndarray], rows: int) -> None:
        """Raise NotSplittable unless every output of a merged run has a row per input row, or is common to all."""
        for name, output in outputs.items():
            expected = self._fixed.get(name, (rows,))
            if output.shape[:1] != expected:
                raise NotSplittable(f"Output {name} has shape {output.shape} for {rows} rows.")

    def explained(self, error: InferenceError, tensors: Tensors) -> InferenceError:
        """The error of a request that ran by itself; where its inputs have unlike numbers of rows, it says so."""
        rows = {name: tensor.shape[0] for name, tensor in tensors.items() if tensor.ndim}
        if type(error) is not RunFailed or not self._has_row_axis or len(set(rows.values())) < 2:
            return error
        counts = ", ".join(f"{name[:80]!r} {count}" for name, count in rows.items())
        return RunFailed(f"{error} Its inputs have unlike numbers of rows: {counts}.")

    def part(self, outcome: Outcome, start: int, rows: int) -> dict[str, type_ndarray]:
        """One request's share of a merged run; no two shares have memory in common."""
        stop = start + rows
        return {
            name: output.copy() if name in self._fixed else output[start:stop]
            for name, output in outcome.outputs.items()
        }


def stack(requests: Sequence[Tensors]) -> Tensors:
    """Join requests of equal key along the first axis."""
    # A new array each time: reusing one saved 35 of 176 µs on 8 images and nothing on small rows, and would have
    # to be kept from a run that has lost its lease and still reads it.
    return {name: np.concatenate([tensors[name] for tensors in requests]) for name in requests[0]}


def bytes_of(outputs: Tensors) -> int:
    """What the arrays hold. A text is an object of its own, beside the pointer to it."""
    return sum(
        output.nbytes + (sum(map(len, output.ravel().tolist())) + TEXT_BYTES * output.size)
        if output.dtype.kind == "O"
        else output.nbytes
        for output in outputs.values()
    )


def suspects(outputs: dict[str, type_ndarray]) -> tuple[str, ...]:
    """Names of the floating-point outputs that are not finite throughout."""
    found: tuple[str, ...] = ()
    for name, output in outputs.items():
        if not is_finite(output):
            found += (name,)
    return found


def is_finite(output: type_ndarray) -> bool:
    """Whether a floating-point array holds neither NaN nor infinity; any other array does not."""
    if output.dtype.kind not in "fc":
        return True
    # After a run numpy's code is out of the cache, and a few scores are added up sooner than it is back. A sum
    # that is not finite may be an overflow of finite numbers, so it is looked at again.
    if output.size <= SMALL and output.dtype.kind == "f" and isfinite(sum(output.ravel().tolist())):
        return True
    return bool(np.count_nonzero(np.isfinite(output)) == output.size)


SMALL = 64  # numbers
TEXT_BYTES = 50  # of a text without its characters
