"""The files of moderation jobs: contents came from them, and their results say what was decided."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from inference.jobs.models import Job
from inference.jobs.services import remove_job
from inference.jobs.transitions import OPEN
from moderation.deciding.dispatch import MODERATION
from moderation.deciding.models import Decision

_CLOCKS_DIFFER = timedelta(
    minutes=1
)  # at most: the database tells when jobs ended, a worker when contents came


def jobs_with(decisions: Sequence[Decision]) -> list[UUID]:
    """The jobs of the same tenant and key that ran when these contents came: their files may have them."""
    if not decisions:
        return []
    came = [one.received_at for one in decisions]
    jobs = Job.objects.filter(
        Q(ended_at=None) | Q(ended_at__gte=min(came) - _CLOCKS_DIFFER),
        kind=MODERATION,
        tenant=decisions[0].tenant_id,
        created_at__lte=max(came) + _CLOCKS_DIFFER,
    )
    return [job.pk for job in jobs if any(_may_have(job, decision) for decision in decisions)]


def _may_have(job: Job, decision: Decision) -> bool:
    began, ended = job.created_at - _CLOCKS_DIFFER, (job.ended_at or timezone.now()) + _CLOCKS_DIFFER
    return job.key_id == decision.key_id and began <= decision.received_at <= ended


def remove_ended_jobs(job_ids: Collection[str]) -> tuple[int, list[str]]:
    """Remove the jobs that have ended, with inputs and results; return how many, and which are still open.

    A job whose results are still to be delivered to its sender's store counts as open.
    """
    jobs = Job.objects.filter(pk__in=list(job_ids))
    is_open = Q(status__in=OPEN) | (~Q(output_ref="") & Q(delivered_at=None))
    still_open = sorted(str(pk) for pk in jobs.filter(is_open).values_list("pk", flat=True))
    ended = [job for job in jobs if str(job.pk) not in still_open]
    for job in ended:
        remove_job(job)
    return len(ended), still_open
