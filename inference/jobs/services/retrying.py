"""Trying the stuck parts of a job again."""

from django.db import transaction

from inference.jobs import dispatch, ending, policies
from inference.jobs.errors import JobEnded
from inference.jobs.models import Job
from inference.jobs.transitions import STUCK, ChunkStatus, Status
from registry.kit.actors import Actor
from registry.record.audit import record_change


@transaction.atomic
def retry(*, job: Job, by: Actor, reason: str) -> Job:
    """Let workers take the failed and dead chunks of a failed job again; what is done is not done twice."""
    policies.check_may_change(job, by)
    present = ending.lock(job.pk)
    if present.status != Status.FAILED:
        raise JobEnded(f"Job {job} is {present.status}; only a failed job is tried again.")
    before = {"status": present.status, "failure": present.failure, "chunks_stuck": present.chunks_stuck}
    tried = present.chunks.filter(status__in=STUCK).update(
        status=ChunkStatus.WAITING, failure="", leases_lost=0, ended_at=None
    )
    Job.objects.filter(pk=present.pk).update(
        status=Status.QUEUED,
        failure="",
        ended_at=None,
        told_at=None,
        chunks_stuck=0,
        expires_at=ending.kept_until(),
    )
    present.refresh_from_db()
    dispatch.hint(present.model)
    record_change(
        action="retry_job",
        subject=present,
        before=before,
        after={"status": present.status, "chunks_tried": tried},
        reason=reason,
        by=by,
    )
    return present
