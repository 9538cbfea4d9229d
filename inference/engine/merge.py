"""Merging: puts the rows of several requests into one run, gives each request its rows back, and samples some for an audit."""

import random
from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from inference.engine.errors import RunFailed
from inference.tensors.arrays import Array, Tensors, is_finite
from inference.tensors.errors import InferenceError
from inference.tensors.signature import Signature

RARELY = 10_000  # merged requests between two samples, in the long run
_OFTEN = 64  # samples until the gap has doubled
_MAX_WAITING = 8  # samples; further ones are dropped
_MAX_BYTES = 8 << 20  # of a sampled request; larger ones would take too much memory while they wait


class NotSplittable(RunFailed):
    """The model's outputs cannot be split by row."""


class RunResult(NamedTuple):
    """One run's outputs, shared by all its requests. `non_finite`: names of outputs with a NaN or infinity."""

    outputs: dict[str, Array]
    rows: int
    taken_at: float
    compute_s: float
    non_finite: tuple[str, ...]
    is_merged: bool  # rows of several requests


class RowRules:
    """How the requests of one version merge. The batch proof decides whether they may, not the signature."""

    def __init__(self, signature: Signature, *, merges: bool) -> None:
        self._has_row_axis = signature.has_row_axis
        self.allow(merges)
        # An optional input that is sent (a weight, a threshold) has no row axis and belongs to its own request.
        self._optional = frozenset(spec.name for spec in signature.inputs if spec.optional)
        # First axis of the outputs that are the same for every request, () for a scalar. Other outputs, and those whose
        # shape the file does not declare, have a row per input row until `check` finds otherwise.
        self._fixed = {
            spec.name: spec.shape[:1]
            for spec in signature.outputs
            if not spec.any_rank and (not spec.shape or spec.shape[0] is not None)
        }

    def allow(self, merges: bool) -> None:
        """Set whether requests share runs from now on."""
        self.merges = merges and self._has_row_axis

    def shape_of(self, tensors: Tensors, outputs: Sequence[str] | None) -> tuple[Hashable, int, int]:
        """Return key, rows and bytes. Requests with equal keys can share a run; a new object matches no other key."""
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
                    merges = False  # e.g. a query with its documents: run the request as it was sent
                if length > rows:
                    rows = length
            parts += (name, tensor.dtype, shape[1:])
        if not merges or not rows:
            return object(), rows if rows and self._has_row_axis else 1, nbytes
        return tuple(parts), rows, nbytes

    def check(self, outputs: dict[str, Array], rows: int) -> None:
        """Raise NotSplittable unless each output of a merged run has a row per input row, or is shared by all."""
        for name, output in outputs.items():
            expected = self._fixed.get(name, (rows,))
            if output.shape[:1] != expected:
                raise NotSplittable(f"Output {name} has shape {output.shape} for {rows} rows.")

    def explain(self, error: InferenceError, tensors: Tensors) -> InferenceError:
        """If the inputs of a request that ran alone have different numbers of rows, say so in its error."""
        rows = {name: tensor.shape[0] for name, tensor in tensors.items() if tensor.ndim}
        if type(error) is not RunFailed or not self._has_row_axis or len(set(rows.values())) < 2:
            return error
        counts = ", ".join(f"{name[:80]!r} {count}" for name, count in rows.items())
        return RunFailed(f"{error} Its inputs have different numbers of rows: {counts}.")

    def part(self, result: RunResult, start: int, rows: int) -> dict[str, Array]:
        """One request's part of a merged run; no two parts share memory."""
        stop = start + rows
        return {
            name: output.copy() if name in self._fixed else output[start:stop]
            for name, output in result.outputs.items()
        }


def stack(requests: Sequence[Tensors]) -> Tensors:
    """Join requests with equal keys along the first axis."""
    # A new array each time: reusing one saved 35 of 176 µs on 8 images and nothing on small rows. It would also have
    # to be kept away from a run that has lost its lease but still reads it.
    return {name: np.concatenate([tensors[name] for tensors in requests]) for name in requests[0]}


def non_finite_outputs(outputs: dict[str, Array]) -> tuple[str, ...]:
    names: tuple[str, ...] = ()
    for name, output in outputs.items():
        if not is_finite(output):
            names += (name,)
    return names


class AuditSample(NamedTuple):
    """A request that shared a run, and its answer."""

    tensors: Tensors
    outputs: Sequence[str] | None
    answer: Mapping[str, Array]
    scales: Mapping[str, float]  # the largest number in each output of the run


class Sampler:
    """Picks merged requests to run again alone: a batch proof tries only some inputs; this checks real ones.

    Picks nearly every request at first, later one in RARELY: most faults show up early.
    """

    def __init__(self) -> None:
        self._merged = 0
        self._next = 0
        self._waiting: deque[AuditSample] = deque()

    def is_due(self, nbytes: int) -> bool:
        """Count one merged request; return whether to sample it. Threads may lose counts, which is harmless."""
        self._merged += 1
        return self._merged > self._next and len(self._waiting) < _MAX_WAITING and nbytes <= _MAX_BYTES

    def add(self, sample: AuditSample) -> None:
        gap = min(RARELY, 1 + self._merged // _OFTEN)
        self._next = self._merged + random.randrange(2 * gap)  # noqa: S311 (not a secret)
        self._waiting.append(sample)

    @property
    def has_any(self) -> bool:
        return bool(self._waiting)

    def take(self) -> AuditSample | None:
        try:
            return self._waiting.popleft()
        except IndexError:
            return None
