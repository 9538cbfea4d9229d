"""Which merged requests are run again by themselves: a batch proof samples, and so does this, while serving."""

import random
from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from inference.engine.backends import Tensors, type_ndarray

RARELY = 10_000  # merged requests between two samples, in the long run
_OFTEN = 64  # samples before the gap has doubled
_KEPT = 8  # samples that may wait; further ones are dropped
_MOST_BYTES = 8 << 20  # of a request; larger ones would cost too much memory while they wait


class Sample(NamedTuple):
    """A request that shared a run, and what it was answered."""

    tensors: Tensors
    outputs: Sequence[str] | None
    answer: Mapping[str, type_ndarray]
    scales: Mapping[str, float]  # the largest number in each output of the run


class Sampler:
    """Picks nearly every request at first and one in RARELY later: a fault that is there mostly shows early."""

    def __init__(self) -> None:
        self._merged = 0
        self._next = 0
        self._waiting: deque[Sample] = deque()

    def is_due(self, nbytes: int) -> bool:
        """Count one merged request; say whether it should be sampled. Counts may be lost between threads: it is chance anyway."""
        self._merged += 1
        return self._merged > self._next and len(self._waiting) < _KEPT and nbytes <= _MOST_BYTES

    def add(self, sample: Sample) -> None:
        gap = min(RARELY, 1 + self._merged // _OFTEN)
        self._next = self._merged + random.randrange(2 * gap)  # noqa: S311 (no secret)
        self._waiting.append(sample)

    @property
    def has_any(self) -> bool:
        return bool(self._waiting)

    def take(self) -> Sample | None:
        try:
            return self._waiting.popleft()
        except IndexError:
            return None
