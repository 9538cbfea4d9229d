"""Queries for jobs."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from django.db.models import QuerySet
from django.utils import timezone

from inference.jobs import files, policies
from inference.jobs.models import Chunk, Job
from inference.jobs.transitions import OPEN, ChunkStatus
from inference.rows import TEXT, FileFormat, FileKind, assemble, joined_text
from registry.catalogue.models import Version
from registry.kit.actors import Actor

_PIECE = 64 * 2**10


@dataclass(frozen=True, slots=True)
class Progress:
    """Rates are per second of working time; None while unknown."""

    rows_total: int | None  # None until the job's file has been read through
    rows_done: int
    rows_bad: int
    fraction: float
    rows_per_s: float | None
    eta_s: float | None
    chunks_total: int
    chunks_done: int
    chunks_stuck: int
    worked_s: float  # while workers had parts of it
    waited_s: float  # the rest of the time from creation to end


def jobs_in_reach(by: Actor) -> "QuerySet[Job]":
    """The jobs that the actor may see, newest first."""
    return (
        policies.jobs_in_scope(by)
        .select_related("model", "version__model", "tenant", "key")
        .order_by("-created_at")
    )


def open_jobs_use(version: Version) -> str | None:
    """Say how many open jobs need a version; a job's version is fixed when it is accepted."""
    count = version.jobs.filter(status__in=OPEN).count()
    return f"{version} has {count:,} open job{'s' if count > 1 else ''} to process." if count else None


def progress_of(job: Job) -> Progress:
    answered = job.rows_done + job.rows_bad
    is_known = job.is_planned and job.rows_total > 0
    worked_s = _worked_s(job)
    until = job.ended_at or timezone.now()
    rate = answered / worked_s if answered and worked_s else None
    return Progress(
        rows_total=job.rows_total if job.is_planned else None,
        rows_done=job.rows_done,
        rows_bad=job.rows_bad,
        fraction=answered / job.rows_total if is_known else float(job.is_planned),
        rows_per_s=rate,
        eta_s=(job.rows_total - answered) / rate if is_known and rate and job.ended_at is None else None,
        chunks_total=job.chunks_total,
        chunks_done=job.chunks_done,
        chunks_stuck=job.chunks_stuck,
        worked_s=worked_s,
        waited_s=max(0.0, (until - job.created_at).total_seconds() - worked_s),
    )


def chunks_of(job: Job) -> "QuerySet[Chunk]":
    """The parts of a job in row order, without their contents."""
    return job.chunks.filter(is_plan=False).defer("inputs", "results").order_by("index")


def results_of(job: Job) -> Iterator[bytes]:
    """The results so far as one file, in row order. Text is streamed; NPZ and Parquet are assembled first."""
    parts = list(_done(job).exclude(rows_done=0))
    for part in parts:
        part.job = job
    openers = [partial(files.open_results, part) for part in parts]
    kind = FileKind(FileFormat(job.output_format), gzipped=False)
    if kind.format in TEXT:
        yield from joined_text(openers, kind)
        return
    with files.scratch_file() as whole:
        assemble(openers, whole, kind)
        whole.seek(0)
        while piece := whole.read(_PIECE):
            yield piece


def errors_of(job: Job) -> Iterator[bytes]:
    """A JSON line for each skipped row so far, in row order."""
    for part in _done(job).exclude(errors_ref="").iterator():
        part.job = job
        with files.open_errors(part) as file:
            while piece := file.read(_PIECE):
                yield piece


def _done(job: Job) -> "QuerySet[Chunk]":
    return job.chunks.filter(is_plan=False, status=ChunkStatus.DONE).defer("inputs").order_by("index")


def _worked_s(job: Job) -> float:
    now = timezone.now() - job.working_since if job.working_since is not None else timedelta()
    return max(0.0, (job.worked + now).total_seconds())
