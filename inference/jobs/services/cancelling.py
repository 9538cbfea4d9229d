"""Cancelling a job."""

from django.db import transaction
from django.db.models.functions import Now

from inference.jobs import ending, policies
from inference.jobs.errors import JobEnded
from inference.jobs.models import Job
from inference.jobs.transitions import OPEN, ChunkStatus
from registry.kit.actors import Actor
from registry.record.audit import record_change


@transaction.atomic
def cancel(*, job: Job, by: Actor, reason: str = "") -> Job:
    """End a job that nobody wants any more. What is done stays; a chunk that runs now finds its write refused."""
    policies.check_may_change(job, by)
    present = ending.lock(job.pk)
    if present.status not in OPEN:
        raise JobEnded(f"Job {job} is {present.status}; there is nothing left to cancel.")
    before = {"status": present.status}
    present.chunks.filter(status__in=[ChunkStatus.WAITING, ChunkStatus.LEASED]).update(
        status=ChunkStatus.CANCELLED, holder="", lease_until=None, ended_at=Now()
    )
    ending.cancel(present)
    record_change(
        action="cancel_job",
        subject=present,
        before=before,
        after={"status": present.status},
        reason=reason,
        by=by,
    )
    return present
