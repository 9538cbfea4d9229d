"""Cutting a job's file into chunks, which is a chunk's work like any other: leased, repeatable, written at once."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from django.conf import settings

from inference import rows
from inference.jobs.files import plain_input
from inference.jobs.models import Chunk, Job
from inference.jobs.running.failures import ChunkFailed
from inference.jobs.running.holding import Held
from inference.rows import Contract, FileFormat, RowsError
from inference.tensors.signature import Signature


@dataclass(frozen=True, slots=True)
class Planned:
    chunks: list[Chunk]
    rows: int


def plan(held: Held) -> Planned:
    """Look once through the file; raise ChunkFailed, which fails the job, where it cannot be used."""
    job = Job.objects.select_related("version").get(pk=held.claim.job_id)
    try:
        with plain_input(job) as file:
            signature = Signature.from_json(job.version.signature or {})
            rows.check(file, FileFormat(job.input_format), Contract.from_json(job.contract), signature)
            chunks = list(_cut(file, job, held))
    except RowsError as error:
        raise ChunkFailed(str(error)) from error
    except FileNotFoundError as error:
        raise ChunkFailed("The job's file is not there any more.") from error
    total = sum(chunk.rows for chunk in chunks)
    if total > settings.JOB_OPEN_ROWS:
        raise ChunkFailed(f"The file has {total:,} rows; {settings.JOB_OPEN_ROWS:,} is the most.")
    return Planned(chunks, total)


def _cut(file: IO[bytes], job: Job, held: Held) -> Iterator[Chunk]:
    for part in rows.plan(file, FileFormat(job.input_format), job.chunk_rows):
        held.note_progress()
        yield Chunk(
            job=job,
            index=part.index,
            first_row=part.first_row,
            rows=part.rows,
            byte_from=part.byte_from,
            byte_to=part.byte_to,
        )
