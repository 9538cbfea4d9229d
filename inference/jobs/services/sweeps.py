"""Periodic work: expired leases, lost hints, and expired jobs."""

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now

from inference.jobs import dispatch, files
from inference.jobs.models import POOL_OF_JOB, Chunk, Job
from inference.jobs.services import completion, ledger
from inference.jobs.transitions import ENDED, OPEN, ChunkStatus
from registry.kit.loops import Attempts

_MAX_EXPIRED = 200


def sweep_jobs() -> int:
    """Free expired leases, and resend hints for waiting chunks; return how many leases were freed."""
    with Attempts() as attempt:
        freed = attempt(ledger.free_expired)
        waits = Exists(Chunk.objects.filter(job=OuterRef("pk"), status=ChunkStatus.WAITING))
        jobs = Job.objects.filter(waits, status__in=OPEN).order_by()
        for pool in jobs.values_list(POOL_OF_JOB, flat=True).distinct():
            attempt(dispatch.hint, pool)
    return freed or 0


def expire_jobs() -> int:
    """Remove expired jobs that have ended, with their files, and fail open ones; return how many were removed."""
    with Attempts() as attempt:
        for job in _overdue().filter(status__in=OPEN)[:_MAX_EXPIRED]:
            attempt(_fail_overdue, job)
        removed = sum(
            bool(attempt(remove_job, job)) for job in _overdue().filter(status__in=ENDED)[:_MAX_EXPIRED]
        )
        attempt(_drop_stray_inputs)
    return removed


@transaction.atomic
def _fail_overdue(job: Job) -> None:
    completion.fail_job(completion.lock_job(job.pk), "It was not finished before its input expired.")


def remove_job(job: Job) -> bool:
    """Remove a job that has ended, with its input and results."""
    files.remove_files(job)
    job.delete()
    return True


def _drop_stray_inputs() -> None:
    """Remove files that no job refers to because the process that received them died."""
    for names in files.stray_inputs():
        used = set(Job.objects.filter(input_ref__in=names).values_list("input_ref", flat=True))
        for name in names:
            if name not in used:
                files.drop_input(name)


def _overdue() -> "QuerySet[Job]":
    return Job.objects.filter(expires_at__lt=Now()).order_by("expires_at")
