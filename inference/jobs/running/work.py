"""Work on one chunk: plan a file, or read rows, predict and write results. Nothing counts until the ledger accepts it."""

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import IO, Any, TypeVar, cast

import numpy as np
from django.conf import settings

from inference import rows
from inference.checks.version_tasks import callers_signatures
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
from inference.jobs import files
from inference.jobs.models import Chunk, Job
from inference.jobs.running.fetched_items import FetchedItems
from inference.jobs.services.ledger import ChunkClaim, ChunkResults
from inference.pipelines.errors import BadTaskConfig, InvalidItem, UnusableOutput
from inference.pipelines.pipeline import ItemPipeline
from inference.pipelines.tasks import TASKS
from inference.rows import ChunkPlan, Contract, FileFormat, RowBatch, RowError, RowsError
from inference.rows.errors import TooManyBadRows
from inference.rows.layout import Layout
from inference.serving import runtime
from inference.serving.calls import Inputs
from inference.serving.pipelines import answer_items
from inference.serving.runtime import Runtime
from inference.tensors.errors import InvalidInput
from inference.tensors.signature import Signature
from registry.catalogue.models import Version
from registry.catalogue.selectors import current_serving
from registry.errors import ArtifactMissing

T = TypeVar("T")
Outputs = Mapping[str, Any]

_RETRYABLE = (Overloaded, DeadlineExceeded, SlotLost, NotLoaded, StillLoading, OverBudget, Loading)
_PATIENCE_S = 300.0  # how long a batch waits for room before its chunk fails
_DEADLINE_S = 60.0
_PAUSE_S = 0.2
_BATCH_CHARACTERS = 200_000  # of items; so many are read within seconds, whatever the tokenizer is
_BATCH_BYTES = 32 * 2**20  # of items that are files, such as pictures
_URL_CHUNK_ROWS = 500  # fetched within minutes, even if most hosts are slow
_STUCK_AFTER_SOFT_LIMITS = 4  # by then even a run that cannot be terminated has been noticed
_FILE_MISSING = "The job's file no longer exists."


class ChunkFailed(Exception):
    """No worker can process the chunk. `ends_job`: the rest of the job cannot succeed either."""

    def __init__(self, why: str, *, ends_job: bool = False) -> None:
        self.ends_job = ends_job
        super().__init__(why)


class ClaimLost(Exception):
    """Another worker now has the chunk, or the job was cancelled."""


@dataclass(slots=True, eq=False)
class HeldChunk:
    """A claim, and the progress of its work. `is_over` is set when the result is no longer needed."""

    claim: ChunkClaim
    note_move: Callable[[], None] = lambda: None
    is_over: threading.Event = field(default_factory=threading.Event)
    quiet_until: float = math.inf  # monotonic time of the next expected progress

    def note_progress(self, *, next_within_s: float = math.inf) -> None:
        """Record progress, and when to expect more. Raise ClaimLost if the result is no longer needed."""
        if self.is_over.is_set():
            raise ClaimLost
        self.quiet_until = time.monotonic() + next_within_s
        self.note_move()


class HeldChunks:
    """The chunks of this process. A chunk that already lost a worker runs alone. Only one thread at a time may add."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: list[HeldChunk] = []
        self.moves = 0

    def has_room_for(self, *, runs_alone: bool) -> bool:
        with self._lock:
            return not self._held or not (runs_alone or any(held.claim.runs_alone for held in self._held))

    def add(self, claim: ChunkClaim) -> HeldChunk:
        held = HeldChunk(claim, self._note_move)
        with self._lock:
            self._held.append(held)
        return held

    def remove(self, held: HeldChunk) -> None:
        with self._lock:
            self._held.remove(held)

    def all(self) -> list[HeldChunk]:
        with self._lock:
            return list(self._held)

    def _note_move(self) -> None:
        self.moves += 1

    def note_lost(self, lost: Iterable[ChunkClaim]) -> None:
        lost_claims = set(lost)
        for held in self.all():
            if held.claim in lost_claims:
                held.is_over.set()


class BulkPredictor:
    """Answers batches with one version, at bulk priority: waiting callers go first.

    It waits while the engine has no room. If a batch fails because of some of its rows, it takes out the one that the error
    names, and halves the batch if none is named.
    """

    def __init__(self, version: Version, signature: Signature, held: HeldChunk) -> None:
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
            except _RETRYABLE as error:
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
        for place, row in enumerate(tensor):
            is_text = tensor.dtype.kind == "O"
            sizes[place] += sum(len(text or "") for text in np.ravel(row)) if is_text else row.nbytes
    return sizes


def answer_chunk(held: HeldChunk) -> ChunkResults:
    """Process a chunk and return its results; raise ChunkFailed or ClaimLost."""
    chunk = Chunk.objects.select_related("job__version__model").get(pk=held.claim.chunk_id)
    try:
        return _answer(chunk, held)
    except TooManyBadRows as error:
        raise ChunkFailed(str(error), ends_job=True) from error
    except RowsError as error:
        raise ChunkFailed(str(error)) from error
    except FileNotFoundError as error:
        raise ChunkFailed(_FILE_MISSING, ends_job=True) from error


def _answer(chunk: Chunk, held: HeldChunk) -> ChunkResults:
    job, attempt = chunk.job, held.claim.attempt
    contract = Contract.from_json(job.contract)
    signature = _signature(chunk, contract)
    predictor = BulkPredictor(job.version, signature, held)
    bad: list[RowError] = []
    with closing(files.ChunkResultsWriter(chunk, attempt, contract, signature)) as results:
        with results.writer as writer:
            for batch in _batches(chunk, contract, signature, predictor.batch_rows):
                for part, outputs in predictor.answer(batch):
                    bad += part.bad
                    if len(part.rows):
                        bad += writer.write(part, outputs)
                if bad:
                    # Including earlier chunks; the ledger checks the final sum.
                    contract.check_errors(job.rows_bad + len(bad), bad[-1])
        text, name = results.keep()
    bad.sort(key=lambda error: error.row)
    return ChunkResults(writer.rows, len(bad), text, name, files.save_errors(chunk, attempt, bad))


def _signature(chunk: Chunk, contract: Contract) -> Signature:
    """What the chunk's rows are for: the items of the version's task, or the model's own inputs."""
    signatures = callers_signatures(chunk.job.version)
    if len(signatures) == 1:
        return signatures[0]
    if chunk.inputs is not None:
        return rows.signature_of_items(chunk.inputs, contract, signatures)
    with files.open_input(chunk.job) as file:
        return rows.signature_of_file(file, FileFormat(chunk.job.input_format), contract, signatures)


def _batches(chunk: Chunk, contract: Contract, signature: Signature, batch_rows: int) -> Iterator[RowBatch]:
    if chunk.inputs is not None:
        yield from rows.read_items(chunk.inputs, contract, signature, batch_rows, first_row=chunk.first_row)
        return
    part = ChunkPlan(chunk.index, chunk.first_row, chunk.rows, chunk.byte_from, chunk.byte_to)
    kind = FileFormat(chunk.job.input_format)
    with files.open_input(chunk.job) as file:
        yield from rows.read_chunk(file, kind, part, contract, signature, batch_rows)


@dataclass(frozen=True, slots=True)
class PlannedChunks:
    chunks: list[Chunk]
    rows: int


def plan_chunks(held: HeldChunk) -> PlannedChunks:
    """Read through the file once and cut it into chunks; raise ChunkFailed, which fails the job."""
    job = Job.objects.select_related("version__model").get(pk=held.claim.job_id)
    try:
        with files.open_input(job) as file:
            contract, signatures = Contract.from_json(job.contract), callers_signatures(job.version)
            layout = rows.check(file, FileFormat(job.input_format), contract, signatures)
            chunks = list(_cut_chunks(file, job, held, _rows_per_chunk(job, layout)))
    except RowsError as error:
        raise ChunkFailed(str(error)) from error
    except FileNotFoundError as error:
        raise ChunkFailed(_FILE_MISSING) from error
    total = sum(chunk.rows for chunk in chunks)
    if total > settings.JOB_OPEN_ROWS:
        raise ChunkFailed(f"The file has {total:,} rows; the limit is {settings.JOB_OPEN_ROWS:,}.")
    return PlannedChunks(chunks, total)


def _rows_per_chunk(job: Job, layout: Layout) -> int:
    task = TASKS[job.version.model.task]
    address = task.address if issubclass(task, ItemPipeline) else ""
    names_urls = any(item.spec.name == address for item in layout.inputs)
    return min(job.chunk_rows, _URL_CHUNK_ROWS) if names_urls else job.chunk_rows


def _cut_chunks(file: IO[bytes], job: Job, held: HeldChunk, rows_per_chunk: int) -> Iterator[Chunk]:
    for part in rows.plan(file, FileFormat(job.input_format), rows_per_chunk):
        held.note_progress()
        yield Chunk(
            job=job,
            index=part.index,
            first_row=part.first_row,
            rows=part.rows,
            byte_from=part.byte_from,
            byte_to=part.byte_to,
        )
