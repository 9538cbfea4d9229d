"""Predictions for the rows of a job, with one version."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar, cast

import numpy as np

from inference.engine.combiner import Priority
from inference.engine.errors import (
    DeadlineExceeded,
    LoadFailed,
    NotLoaded,
    OverBudget,
    Overloaded,
    RunFailed,
    SlotLost,
    StillLoading,
    VersionBroken,
)
from inference.engine.loop import complete
from inference.engine.requests import EngineAnswer, EngineRequest
from inference.errors import Loading
from inference.jobs.kinds import ChunkFailed, HeldWork, Outputs
from inference.jobs.running.fetched_items import FetchedItems
from inference.pipelines.errors import BadTaskConfig, InvalidItem, UnusableOutput
from inference.pipelines.pipeline import ItemPipeline
from inference.rows import RowBatch
from inference.serving import runtime
from inference.serving.calls import Inputs
from inference.serving.pipelines import answer_items
from inference.serving.runtime import Runtime
from inference.tensors.arrays import Array
from inference.tensors.errors import InvalidInput
from inference.tensors.signature import Signature
from registry.catalogue.models import Version
from registry.catalogue.selectors import current_serving
from registry.errors import ArtifactMissing

T = TypeVar("T")

# Errors of an engine that has no room at the moment.
RETRYABLE = (Overloaded, DeadlineExceeded, SlotLost, NotLoaded, StillLoading, OverBudget, Loading)
_PATIENCE_S = 300.0  # how long a batch waits for room before its chunk fails
_DEADLINE_S = 60.0
_PAUSE_S = 0.2
_BATCH_CHARACTERS = 200_000  # of items; so many are read within seconds, whatever the tokenizer is
_BATCH_BYTES = 32 * 2**20  # of items that are files, such as pictures
_STUCK_AFTER_SOFT_LIMITS = 4  # by then even a run that cannot be terminated has been noticed


class BulkPredictor:
    """Answers batches with one version, at bulk priority: waiting callers go first.

    It waits while the engine has no room. If a batch fails because of some of its rows, it takes out the one that the error
    names, and halves the batch if none is named.
    """

    def __init__(self, version: Version, signature: Signature, held: HeldWork) -> None:
        """`signature`: what the rows are, the model's own inputs or the items of its task."""
        self._runtime: Runtime = runtime.started()
        target = self._runtime.target(version.pk)
        if target is None:  # the routes may have changed
            self._runtime.refresh()
            target = self._runtime.target(version.pk)
        if target is None:
            raise ChunkFailed(f"{version} cannot be used: it is {version.status}.", ends_job=True)
        self._target = target
        self._held = held
        soft_limit_s = current_serving(version.pk).soft_limit_s
        self._quiet_s = _DEADLINE_S + _STUCK_AFTER_SOFT_LIMITS * soft_limit_s
        self._run_rows = self.batch_rows = self._runtime.executor.merged_rows(target)
        self._items: ItemPipeline[Any] | None = None
        if signature != Signature.from_json(version.signature or {}):
            self._items = self._pipeline()
            self.batch_rows = self._items.most_items  # the more, the fuller are the runs of each width
        self._fetched: FetchedItems | None = None
        if self._items is not None and signature.inputs[0].name == self._items.address:
            self._fetched = FetchedItems(self._items, self._patiently)

    def answer(self, batch: RowBatch) -> Iterator[tuple[RowBatch, Outputs]]:
        """Yield the batch with its outputs. If some rows cannot be run, yield parts, with those rows as bad."""
        for part in self._parts(batch):
            yield from self._answer_part(part)

    def _parts(self, batch: RowBatch) -> Iterable[RowBatch]:
        """Parts that are worked on together, with items in place of their URLs."""
        if self._items is None:
            return [batch]
        if self._fetched is not None:
            return self._fetched.parts(batch, _BATCH_BYTES)
        return batch_parts(batch, _BATCH_BYTES if self._items.reads_files else _BATCH_CHARACTERS)

    def _answer_part(self, batch: RowBatch) -> Iterator[tuple[RowBatch, Outputs]]:
        waiting = [batch]
        while waiting:
            part = waiting.pop()
            try:
                outputs = self._outputs(part) if len(part.rows) else {}
            except (InvalidInput, RunFailed, UnusableOutput) as error:
                waiting += reversed(_parts_around(part, error))
            else:
                yield part, outputs

    def _outputs(self, batch: RowBatch) -> Outputs:
        if self._items is None:
            return self._run(batch.tensors).outputs
        self._note_progress()
        body = self._items.body_of(batch.tensors)
        try:
            answered = complete(
                answer_items(self._items, body, self._answer, most_rows=self._run_rows, hold=_hold_nothing)
            )
        except BadTaskConfig as error:
            raise ChunkFailed(str(error), ends_job=True) from error
        tensors = self._items.tensors_of(answered.answers or ())
        self._note_progress()
        return tensors

    def _pipeline(self) -> ItemPipeline[Any]:
        pipeline = self._patiently(lambda: complete(self._runtime.pipeline(self._target)))
        return cast("ItemPipeline[Any]", pipeline)

    async def _answer(self, inputs: Inputs, outputs: Sequence[str] | None) -> EngineAnswer:
        answer = self._run(inputs, outputs)
        self._note_progress()  # another run follows, or the answers are made
        return answer

    def _note_progress(self) -> None:
        self._held.note_progress(next_within_s=self._quiet_s)

    def _run(self, inputs: Inputs, outputs: Sequence[str] | None = None) -> EngineAnswer:
        def run() -> EngineAnswer:
            request = EngineRequest(
                inputs,
                time.monotonic() + _DEADLINE_S,
                Priority.BULK,
                outputs=outputs,
                allow_non_finite=True,  # the row contract has already checked the rows
            )
            return complete(self._runtime.infer(self._target, request))

        return self._patiently(run)

    def _patiently(self, work: Callable[[], T]) -> T:
        """Do the work. Wait while the engine, or the fetcher of items, has no room."""
        give_up_at = time.monotonic() + _PATIENCE_S
        while True:
            self._note_progress()
            try:
                return work()
            except RETRYABLE as error:
                if time.monotonic() > give_up_at:
                    raise ChunkFailed(f"There was no room within {_PATIENCE_S:.0f} s: {error}") from error
            except VersionBroken as error:
                raise ChunkFailed(str(error), ends_job=True) from error
            except (LoadFailed, ArtifactMissing) as error:
                raise ChunkFailed(str(error)) from error
            self._held.is_over.wait(_PAUSE_S)


def _hold_nothing(nbytes: int) -> None:
    """A worker answers one batch of a job at a time, and batches are limited."""


def _parts_around(batch: RowBatch, error: Exception) -> list[RowBatch]:
    """The batch without the row that the error is about, or in halves."""
    place = error.place if isinstance(error, InvalidItem) else None
    if place is None and len(batch.rows) > 1:
        return list(batch.split_at(len(batch.rows) // 2))
    before, rest = batch.split_at(place or 0)  # those before could be read, so they are answered together
    bad, after = rest.split_at(1)
    return [before, bad.without({0: str(error)}), after]


def batch_parts(batch: RowBatch, most: int) -> Iterator[RowBatch]:
    """Parts of a batch with at most so many characters or bytes; a row that has more is a part of its own."""
    begun, held = 0, 0
    for place, size in enumerate(_sizes_of_rows(batch)):
        if place > begun and held + size > most:
            part, batch = batch.split_at(place - begun)
            yield part
            begun, held = place, 0
        held += size
    yield batch


def _sizes_of_rows(batch: RowBatch) -> list[int]:
    sizes = [0] * len(batch.rows)
    for tensor in batch.tensors.values():
        for place, size in enumerate(_row_sizes(tensor)):
            sizes[place] += size
    return sizes


def _row_sizes(tensor: Array) -> Iterable[int]:
    if tensor.dtype.kind != "O":
        return [row.nbytes for row in tensor]
    if tensor.ndim == 1:
        return [len(text) if text else 0 for text in tensor.tolist()]
    return [sum(len(text or "") for text in np.ravel(row)) for row in tensor]
