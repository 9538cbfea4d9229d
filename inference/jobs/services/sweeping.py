"""What is done behind the workers' backs: leases that ended, hints that got lost, jobs whose time is over."""

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now

from inference.jobs import dispatch, ending, files, incoming, ledger
from inference.jobs.models import Chunk, Job
from inference.jobs.transitions import ENDED, OPEN, ChunkStatus
from registry.catalogue.models import Model
from registry.kit.loops import Attempts

_EXPIRE_AT_MOST = 200


def sweep_jobs() -> int:
    """Free the leases that have ended, and hint again wherever something waits; return how many were freed."""
    with Attempts() as attempt:
        freed = attempt(ledger.free_expired)
        waiting = Chunk.objects.filter(
            job__model=OuterRef("pk"), job__status__in=OPEN, status=ChunkStatus.WAITING
        )
        for model in Model.objects.filter(Exists(waiting)):
            attempt(dispatch.hint, model)
    return freed or 0


def expire_jobs() -> int:
    """Remove ended jobs with their files when they were kept long enough, and end those that nobody finished in time.

    Return how many were removed.
    """
    with Attempts() as attempt:
        for job in _overdue().filter(status__in=OPEN)[:_EXPIRE_AT_MOST]:
            attempt(_give_up, job)
        removed = sum(
            bool(attempt(_remove, job)) for job in _overdue().filter(status__in=ENDED)[:_EXPIRE_AT_MOST]
        )
        attempt(_drop_strays)
    return removed


@transaction.atomic
def _give_up(job: Job) -> None:
    ending.fail(ending.lock(job.pk), "It was not finished in the time that its input is kept.")


def _remove(job: Job) -> bool:
    files.remove(job)
    job.delete()
    return True


def _drop_strays() -> None:
    """Remove files whose sender's process died before there was a job."""
    for names in incoming.strays():
        known = set(Job.objects.filter(input_ref__in=names).values_list("input_ref", flat=True))
        for name in names:
            if name not in known:
                incoming.drop(name)


def _overdue() -> "QuerySet[Job]":
    return Job.objects.filter(expires_at__lt=Now()).order_by("expires_at")
