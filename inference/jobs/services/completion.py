"""How a job ends, and the delivery of its results to the store that its sender named.

A job ends inside the transaction that changed its last chunk and holds the lock on the job's row.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db.models import Exists, F, OuterRef, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from inference.jobs import dispatch, storage
from inference.jobs.errors import StoreUnavailable
from inference.jobs.kinds import subject_of
from inference.jobs.models import Chunk, Job
from inference.jobs.selectors import results_of
from inference.jobs.transitions import OPEN, STUCK, ChunkStatus, Status
from inference.rows import RowsError
from registry.errors import Invalid, NotAllowed, NotFound
from registry.kit.clock import from_now
from registry.kit.text import MAX_REASON
from registry.record.audit import AuditSubject
from registry.record.events import emit

log = structlog.get_logger("roundhouse.jobs")

JOB_DONE, JOB_DEAD_LETTER = "job_done", "job_dead_letter"

_PERMANENT = (RowsError, Invalid, NotAllowed, NotFound)
_MAX_DELIVERIES = 100
_DELIVERY_GRACE_S = 60  # the delivery of a job that just ended is already under way


def lock_job(job_id: UUID) -> Job:
    """Get the job and lock its row until the transaction ends."""
    return Job.objects.select_for_update(of=("self",)).select_related("model", "version").get(pk=job_id)


def stop_clock_if_idle(job: Job) -> None:
    """Stop the working-time clock if no chunk of the job is leased."""
    leased = Exists(Chunk.objects.filter(job=OuterRef("pk"), status=ChunkStatus.LEASED))
    _stop_clock(Job.objects.filter(~leased, pk=job.pk))


def _stop_clock(jobs: "QuerySet[Job]") -> None:
    worked = F("worked") + (Now() - F("working_since"))
    jobs.exclude(working_since=None).update(worked=worked, working_since=None)


def end_if_complete(job: Job) -> None:
    """End the job if all its chunks are done or stuck."""
    job.refresh_from_db(fields=["is_planned", "chunks_done", "chunks_stuck", "chunks_total"])
    if not job.is_planned or job.chunks_done + job.chunks_stuck < job.chunks_total:
        return
    if not job.chunks_stuck:
        end_job(job, Status.DONE)
        return
    first = job.chunks.filter(status__in=STUCK).order_by("index").first()
    why = first.failure if first is not None else ""
    fail_job(
        job, f"{job.chunks_stuck} of {job.chunks_total} parts could not be processed. First failure: {why}"
    )


def fail_job(job: Job, why: str) -> None:
    """End the job now, whatever its other chunks are doing."""
    end_job(job, Status.FAILED, shorten_reason(why))


def report_dead_chunk(job: Job, chunk: Chunk, why: str) -> None:
    """Emit the event for a dead chunk. A dead plan fails its job; otherwise the job continues without the chunk."""
    part = "the scan of its file" if chunk.is_plan else f"part {chunk.index}"
    emit(
        JOB_DEAD_LETTER,
        subject=_subject(job),
        data={**_event_data(job), "part": None if chunk.is_plan else chunk.index, "why": why},
        summary=f"Job {job} of {subject_of(job)}: {part} was abandoned. {why}",
    )
    if chunk.is_plan:
        fail_job(job, f"Its file could not be cut into parts. {why}")
    else:
        end_if_complete(job)


def expiry_time() -> datetime:
    return timezone.now() + timedelta(days=settings.JOB_KEEP_DAYS)


def shorten_reason(why: str) -> str:
    return why if len(why) <= MAX_REASON else why[: MAX_REASON - 1] + "…"


def end_job(job: Job, status: Status, failure: str = "") -> None:
    """Give an open job its final status, emit the event, and start delivery and reply."""
    changes = {"status": status, "failure": failure, "ended_at": Now(), "expires_at": expiry_time()}
    if not Job.objects.filter(pk=job.pk, status__in=OPEN).update(**changes):
        return
    _stop_clock(Job.objects.filter(pk=job.pk))
    job.refresh_from_db(fields=["status", "failure", "rows_total", "rows_done", "rows_bad", "on_done"])
    emit(
        JOB_DONE,
        subject=_subject(job),
        data=_event_data(job),
        summary=f"Job {job} of {subject_of(job)} ended as {job.status}: {job.rows_done} rows processed, "
        f"{job.rows_bad} skipped.",
    )
    if job.output_ref and status is Status.DONE:
        dispatch.deliver(job.pk)
    if job.on_done:
        dispatch.reply_to_sender(job.pk)


def _subject(job: Job) -> AuditSubject:
    return AuditSubject("job", str(job.pk), str(job), job.model.slug if job.model is not None else "")


def _event_data(job: Job) -> dict[str, Any]:
    return {
        "job": str(job.pk),
        "kind": job.kind,
        "model": job.model.slug if job.model is not None else None,
        "version": job.version.number if job.version is not None else None,
        "status": job.status,
        "failure": job.failure,
        "rows_total": job.rows_total,
        "rows_done": job.rows_done,
        "rows_bad": job.rows_bad,
    }


def deliver_results(job_id: UUID | str) -> bool:
    """Write the results as one file to their store; False if there was nothing to do, or the store failed.

    If the store was removed or closed in the meantime, the job's failure says so. The results can still be downloaded.
    Two simultaneous deliveries are harmless: they write the same file.
    """
    job = _undelivered().filter(pk=job_id).first()
    if job is None:
        return False
    failure = ""
    try:
        with storage.open_for_writing(job.output_ref) as target:
            for piece in results_of(job):
                target.write(piece)
    except _PERMANENT as error:
        failure = shorten_reason(f"The results could not be written to {job.output_ref}: {error}")
    except (StoreUnavailable, OSError) as error:
        log.warning(
            "results wait for their store", job=str(job.pk), reason=str(error)
        )  # retried by the sweeper
        return False
    _undelivered().filter(pk=job.pk).update(delivered_at=Now(), failure=failure)
    return not failure


def sweep_deliveries() -> int:
    """Restart deliveries that failed because of a lost message or an unreachable store; return how many."""
    overdue = _undelivered().filter(ended_at__lt=from_now(-_DELIVERY_GRACE_S)).order_by("ended_at")
    waiting = overdue[:_MAX_DELIVERIES]
    for job in waiting:
        dispatch.deliver(job.pk)
    return len(waiting)


def _undelivered() -> "QuerySet[Job]":
    return Job.objects.filter(status=Status.DONE, delivered_at=None).exclude(output_ref="")
