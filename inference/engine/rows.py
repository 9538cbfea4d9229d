"""Puts the rows of several requests into one run and gives each its own rows back."""

from collections.abc import Hashable, Sequence
from math import isfinite
from typing import NamedTuple

import numpy as np

from inference.engine.backends import Tensors, type_ndarray
from inference.engine.errors import RunFailed, WrongDimension
from inference.engine.signature import Signature


class NotSplittable(RunFailed):
    """The model's outputs cannot be told apart by row."""


class Outcome(NamedTuple):
    """One run's outputs, shared by all its requests. `suspects`: outputs that hold a NaN or an infinity."""

    outputs: dict[str, type_ndarray]
    rows: int
    taken_at: float
    compute_s: float
    suspects: tuple[str, ...]


class RowRules:
    """How the requests of one version merge, learned from its signature."""

    def __init__(self, signature: Signature) -> None:
        self.merges = signature.is_batchable
        # A given optional input (a weight, a threshold) has no row axis and belongs to its own request.
        self._optional = frozenset(spec.name for spec in signature.inputs if spec.optional)
        # First size of the outputs that are the same for every request, () for a scalar; the others, and those whose
        # shape the file does not declare, have a row per input row until `check` finds otherwise.
        self._fixed = {
            spec.name: spec.shape[:1]
            for spec in signature.outputs
            if not spec.any_rank and (not spec.shape or spec.shape[0] is not None)
        }

    def shape_of(self, tensors: Tensors, outputs: Sequence[str] | None) -> tuple[Hashable, int, int]:
        """Give key, rows and bytes; requests of equal key can share a run, and a new object equals no other."""
        nbytes = 0
        if not self.merges or (self._optional and not self._optional.isdisjoint(tensors)):
            for tensor in tensors.values():
                nbytes += tensor.nbytes
            return object(), 1, nbytes
        rows = -1
        parts: list[Hashable] = [None if outputs is None else tuple(outputs)]
        for name, tensor in tensors.items():
            shape = tensor.shape
            if shape[0] != rows and rows >= 0:
                raise WrongDimension(
                    f"Input {name} has {shape[0]} rows, the inputs before it have {rows}.",
                    field=name,
                    expected=str(rows),
                    got=str(shape[0]),
                )
            rows = shape[0]
            nbytes += tensor.nbytes
            parts += (name, tensor.dtype, shape[1:])
        return (tuple(parts), rows, nbytes) if rows > 0 else (object(), 1, nbytes)

    def check(self, outputs: dict[str, type_ndarray], rows: int) -> None:
        """Raise NotSplittable unless every output of a merged run has a row per input row, or is common to all."""
        for name, output in outputs.items():
            expected = self._fixed.get(name, (rows,))
            if output.shape[:1] != expected:
                raise NotSplittable(f"Output {name} has shape {output.shape} for {rows} rows.")

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
