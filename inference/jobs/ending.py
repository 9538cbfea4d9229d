"""How a job ends; all of it inside the transaction that changed a chunk, which holds the job's row."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Exists, F, OuterRef, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from inference.jobs import dispatch
from inference.jobs.models import Chunk, Job
from inference.jobs.transitions import OPEN, STUCK, ChunkStatus, Status
from registry.kit.text import MAX_REASON
from registry.record.audit import AuditSubject
from registry.record.events import emit

JOB_DONE, JOB_DEAD_LETTER = "job_done", "job_dead_letter"
KINDS = {
    JOB_DONE: "A job has ended, with all its results or without.",
    JOB_DEAD_LETTER: "A part of a job has cost several workers, and nobody takes it any more.",
}


def lock(job_id: UUID) -> Job:
    """The job's row, held until the transaction ends."""
    return Job.objects.select_for_update(of=("self",)).select_related("model", "version").get(pk=job_id)


def note_rest(job: Job) -> None:
    """Stop the clock of a job none of whose chunks is leased any more."""
    leased = Exists(Chunk.objects.filter(job=OuterRef("pk"), status=ChunkStatus.LEASED))
    _stop_clock(Job.objects.filter(~leased, pk=job.pk))


def _stop_clock(jobs: "QuerySet[Job]") -> None:
    worked = F("worked") + (Now() - F("working_since"))
    jobs.exclude(working_since=None).update(worked=worked, working_since=None)


def end_if_over(job: Job) -> None:
    """End a job all of whose chunks are done or stuck."""
    job.refresh_from_db(fields=["is_planned", "chunks_done", "chunks_stuck", "chunks_total"])
    if not job.is_planned or job.chunks_done + job.chunks_stuck < job.chunks_total:
        return
    if not job.chunks_stuck:
        _end(job, Status.DONE)
        return
    first = job.chunks.filter(status__in=STUCK).order_by("index").first()
    why = first.failure if first is not None else ""
    fail(job, f"{job.chunks_stuck} of {job.chunks_total} parts could not be answered. The first: {why}")


def fail(job: Job, why: str) -> None:
    """End a job now, without what is not done yet."""
    _end(job, Status.FAILED, sentence(why))


def cancel(job: Job) -> None:
    _end(job, Status.CANCELLED)


def bury(job: Job, chunk: Chunk, why: str) -> None:
    """Tell that a chunk is dead. A dead plan ends its job; a job without one of its parts goes on to the others."""
    part = "the look through its file" if chunk.is_plan else f"part {chunk.index}"
    emit(
        JOB_DEAD_LETTER,
        subject=_subject(job),
        data={**_facts(job), "part": None if chunk.is_plan else chunk.index, "why": why},
        summary=f"Job {job} of {job.version}: nobody takes {part} any more. {why}",
    )
    if chunk.is_plan:
        fail(job, f"Its file could not be cut into parts. {why}")
    else:
        end_if_over(job)


def kept_until() -> datetime:
    return timezone.now() + timedelta(days=settings.JOB_KEEP_DAYS)


def sentence(why: str) -> str:
    return why if len(why) <= MAX_REASON else why[: MAX_REASON - 1] + "…"


def _end(job: Job, status: Status, failure: str = "") -> None:
    changes = {"status": status, "failure": failure, "ended_at": Now(), "expires_at": kept_until()}
    if not Job.objects.filter(pk=job.pk, status__in=OPEN).update(**changes):
        return
    _stop_clock(Job.objects.filter(pk=job.pk))
    job.refresh_from_db(fields=["status", "failure", "rows_total", "rows_done", "rows_bad", "on_done"])
    emit(
        JOB_DONE,
        subject=_subject(job),
        data=_facts(job),
        summary=f"Job {job} of {job.version} is {job.status}: {job.rows_done} rows answered, {job.rows_bad} left out.",
    )
    if job.output_ref and status is Status.DONE:
        dispatch.deliver(job.pk)
    if job.on_done:
        dispatch.tell_sender(job.pk)


def _subject(job: Job) -> AuditSubject:
    return AuditSubject("job", str(job.pk), str(job), job.model.slug)


def _facts(job: Job) -> dict[str, Any]:
    return {
        "job": str(job.pk),
        "model": job.model.slug,
        "version": job.version.number,
        "status": job.status,
        "failure": job.failure,
        "rows_total": job.rows_total,
        "rows_done": job.rows_done,
        "rows_bad": job.rows_bad,
    }
