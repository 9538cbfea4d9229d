"""Kinds of jobs: who may submit one, which rows it has, and what answers them. An upper app adds its own to JOB_KINDS."""

import hashlib
import json
import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol
from uuid import UUID

from inference.jobs.errors import BadJob
from inference.jobs.models import PREDICTION, Format, InputSource, Job
from inference.rows import RowBatch
from inference.rows.layout import Layout
from inference.tensors.signature import Signature
from registry.access.key_ring import Principal
from registry.catalogue.models import Version
from registry.errors import NotAllowed
from registry.kit.actors import Actor
from registry.kit.registrations import Registrations

Outputs = Mapping[str, Any]


class ChunkFailed(Exception):
    """No worker can process the chunk. `ends_job`: the rest of the job cannot succeed either."""

    def __init__(self, why: str, *, ends_job: bool = False) -> None:
        self.ends_job = ends_job
        super().__init__(why)


class ClaimLost(Exception):
    """Another worker now has the chunk, or the job was cancelled."""


class HeldWork(Protocol):
    """The chunk that is being answered. `is_over` is set when its result is no longer needed."""

    is_over: threading.Event

    def note_progress(self, *, next_within_s: float = math.inf) -> None:
        """Record progress, and when to expect more: a worker that is silent for longer is replaced.

        Raise ClaimLost if the result is no longer needed.
        """


class RowAnswerer(Protocol):
    """Answers the rows of one chunk, batch by batch."""

    batch_rows: int  # how many rows it wants at once

    def answer(self, batch: RowBatch) -> Iterator[tuple[RowBatch, Outputs]]:
        """Yield the batch with its outputs, or parts of it, with rows that cannot be answered as bad.

        Raise ChunkFailed or ClaimLost if the whole chunk cannot be answered.
        """


@dataclass(frozen=True, slots=True)
class SubmittedJob:
    """A job as its sender describes it. The rows are included, or are in the file that `input_ref` names."""

    model: str = ""  # for kinds that have one
    version: int | None = None
    alias: str | None = None
    kind: str = PREDICTION
    options: Mapping[str, Any] = field(default_factory=dict)  # of its kind
    rows: Sequence[Mapping[str, Any]] | None = None
    input_ref: str = ""  # see inference.jobs.storage
    input_bytes: int = 0
    input_sha256: str = ""  # if known: the same file sent again under another name is the same job
    source: InputSource = InputSource.ROWS
    input_format: Format = Format.JSONL
    is_gzipped: bool = False
    output_format: Format | None = None  # None: same as the input; JSONL for a zip
    output_ref: str = ""
    contract: Mapping[str, Any] = field(default_factory=dict)
    on_done: Mapping[str, str] | None = None
    job_id: UUID | None = None  # chosen by the sender, so that sending the same job twice is safe

    @property
    def digest(self) -> str:
        """Distinguishes this job from a different one with the same ID. Stored: do not change what it covers."""
        content = {
            "version": self.version,
            "alias": self.alias,
            "model": self.model,
            "rows": self.rows,
            "input": self.input_sha256 or self.input_ref,
            "input_format": self.input_format,
            "is_gzipped": self.is_gzipped,
            "output_format": self.output_format,
            "output_ref": self.output_ref,
            "contract": self.contract,
            "on_done": self.on_done,
        }
        if self.kind != PREDICTION:  # those of predictions are older than kinds
            content |= {"kind": self.kind, "options": self.options}
        text = json.dumps(content, sort_keys=True, default=str)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class JobTerms:
    """What is fixed when a job is accepted."""

    version: Version | None
    options: Mapping[str, Any]
    chunk_rows: int


class JobKind(ABC):
    """What jobs of one kind do. The methods here are those of a kind whose jobs have no Model and no options."""

    title: ClassVar[str]  # as in "Job 1f0e of moderation failed"
    right: ClassVar[str]  # its submitter needs it
    has_model: ClassVar[bool] = False
    chunk_rows: ClassVar[int] = 1_000  # a second or two of work
    contract_defaults: ClassVar[Mapping[str, Any]] = {}  # for fields that the sender leaves out

    @abstractmethod
    def signatures(self, version: Version | None) -> tuple[Signature, ...]:
        """What the rows may be: their columns, and the columns of the results. Raise BadJob if that is not known yet."""

    @abstractmethod
    def open(self, job: Job, signature: Signature, held: HeldWork) -> RowAnswerer:
        """What answers the rows of a chunk, which are of this signature. Raise ChunkFailed if nothing can."""

    def check_options(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """The options as they are stored; raise BadJob, which says what is wrong."""
        if options:
            raise BadJob(f"Jobs of {self.title} have no options; remove `options`.")
        return options

    def check_may_submit(self, submitted: SubmittedJob, by: Actor) -> None:
        """Raise an error if the actor may not submit such a job. Called before a large file is read."""
        if self.right not in by.rights:
            raise NotAllowed(f"{by.name} lacks the right to {self.right.replace('_', ' ')}.")

    def terms(self, submitted: SubmittedJob, *, by: Actor, principal: Principal | None) -> JobTerms:
        """What is fixed now. `check_may_submit` was called before."""
        return JobTerms(None, self.check_options(submitted.options), self.chunk_rows)

    def previewed_version(self, submitted: SubmittedJob, by: Actor) -> tuple[Version | None, bool]:
        """The version that would probably run the job, and whether it may be another one in the end."""
        self.check_may_submit(submitted, by)
        return None, False

    def rows_per_chunk(self, job: Job, layout: Layout) -> int:
        return job.chunk_rows


JOB_KINDS: Registrations[JobKind] = Registrations("kind of jobs")


def kind_named(name: str) -> JobKind:
    if name not in JOB_KINDS:
        known = ", ".join(name for name, _kind in JOB_KINDS.items())
        raise BadJob(f"This installation has no jobs of kind {name[:64]!r}; use one of: {known}.")
    return JOB_KINDS[name]


def subject_of(job: Job) -> str:
    """What a job is of, for people: its version, or the title of its kind."""
    if job.version is not None:
        return str(job.version)
    return JOB_KINDS[job.kind].title if job.kind in JOB_KINDS else job.kind  # its app may have been removed


def kinds_for(by: Actor) -> list[tuple[str, JobKind]]:
    """The kinds that the actor may submit, for some Models at least."""
    return [(name, kind) for name, kind in JOB_KINDS.items() if kind.right in by.rights]


def rights_to_submit() -> tuple[str, ...]:
    """One of them is needed to submit any job."""
    return tuple(dict.fromkeys(kind.right for kind in JOB_KINDS))
