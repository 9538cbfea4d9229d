"""Work on one chunk: plan a file, or read rows, answer them and write results. Nothing counts until the ledger accepts it."""

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import IO

from django.conf import settings

from inference import rows
from inference.jobs import files
from inference.jobs.errors import BadJob
from inference.jobs.kinds import ChunkFailed, ClaimLost, JobKind, kind_named
from inference.jobs.models import Chunk, Job
from inference.jobs.services.ledger import ChunkClaim, ChunkResults
from inference.rows import ChunkPlan, Contract, FileFormat, RowBatch, RowError, RowsError
from inference.rows.errors import TooManyBadRows
from inference.tensors.signature import Signature

_FILE_MISSING = "The job's file no longer exists."


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
    kind, contract = _kind(job), Contract.from_json(job.contract)
    signature = _signature(chunk, contract, kind)
    answerer = kind.open(job, signature, held)
    bad: list[RowError] = []
    with closing(files.ChunkResultsWriter(chunk, attempt, contract, signature)) as results:
        with results.writer as writer:
            for batch in _batches(chunk, contract, signature, answerer.batch_rows):
                for part, outputs in answerer.answer(batch):
                    bad += part.bad
                    if len(part.rows):
                        bad += writer.write(part, outputs)
                if bad:
                    # Including earlier chunks; the ledger checks the final sum.
                    contract.check_errors(job.rows_bad + len(bad), bad[-1])
        text, name = results.keep()
    bad.sort(key=lambda error: error.row)
    return ChunkResults(writer.rows, len(bad), text, name, files.save_errors(chunk, attempt, bad))


def _kind(job: Job) -> JobKind:
    try:
        return kind_named(job.kind)
    except BadJob as error:  # an app was removed while the job was open
        raise ChunkFailed(str(error), ends_job=True) from error


def _signature(chunk: Chunk, contract: Contract, kind: JobKind) -> Signature:
    """What the chunk's rows are for: of a prediction the items of the version's task, or the model's own inputs."""
    signatures = kind.signatures(chunk.job.version)
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
    kind = _kind(job)
    try:
        with files.open_input(job) as file:
            contract, signatures = Contract.from_json(job.contract), kind.signatures(job.version)
            layout = rows.check(file, FileFormat(job.input_format), contract, signatures)
            chunks = list(_cut_chunks(file, job, held, kind.rows_per_chunk(job, layout)))
    except RowsError as error:
        raise ChunkFailed(str(error)) from error
    except FileNotFoundError as error:
        raise ChunkFailed(_FILE_MISSING) from error
    total = sum(chunk.rows for chunk in chunks)
    if total > settings.JOB_OPEN_ROWS:
        raise ChunkFailed(f"The file has {total:,} rows; the limit is {settings.JOB_OPEN_ROWS:,}.")
    return PlannedChunks(chunks, total)


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
