"""Cancel and retry a job."""

from django.db import transaction
from django.db.models.functions import Now

from inference.jobs import dispatch, policies
from inference.jobs.errors import JobEnded
from inference.jobs.models import Job
from inference.jobs.services import completion
from inference.jobs.transitions import OPEN, STUCK, ChunkStatus, Status
from registry.kit.actors import Actor
from registry.record.audit import record_change


@transaction.atomic
def cancel(*, job: Job, by: Actor, reason: str = "") -> Job:
    """End an open job. Finished chunks are kept; a running chunk's results will be refused."""
    policies.check_may_change(job, by)
    job = completion.lock_job(job.pk)
    if job.status not in OPEN:
        raise JobEnded(f"Job {job} is {job.status}; there is nothing to cancel.")
    before = {"status": job.status}
    job.chunks.filter(status__in=[ChunkStatus.WAITING, ChunkStatus.LEASED]).update(
        status=ChunkStatus.CANCELLED, holder="", lease_until=None, ended_at=Now()
    )
    completion.end_job(job, Status.CANCELLED)
    after = {"status": job.status}
    record_change(action="cancel_job", subject=job, before=before, after=after, reason=reason, by=by)
    return job


@transaction.atomic
def retry(*, job: Job, by: Actor, reason: str) -> Job:
    """Queue the failed and dead chunks of a failed job again. Finished chunks are not repeated."""
    policies.check_may_change(job, by)
    job = completion.lock_job(job.pk)
    if job.status != Status.FAILED:
        raise JobEnded(f"Job {job} is {job.status}; only failed jobs can be retried.")
    before = {"status": job.status, "failure": job.failure, "chunks_stuck": job.chunks_stuck}
    retried = job.chunks.filter(status__in=STUCK).update(
        status=ChunkStatus.WAITING, failure="", leases_lost=0, ended_at=None
    )
    Job.objects.filter(pk=job.pk).update(
        status=Status.QUEUED,
        failure="",
        ended_at=None,
        told_at=None,
        chunks_stuck=0,
        expires_at=completion.expiry_time(),
    )
    job.refresh_from_db()
    dispatch.hint(job.pool)
    after = {"status": job.status, "chunks_tried": retried}
    record_change(action="retry_job", subject=job, before=before, after=after, reason=reason, by=by)
    return job
