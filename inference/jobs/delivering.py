"""Writing a job's results to the store that its sender named: from the row, and again until the store has taken them."""

from uuid import UUID

import structlog
from django.db.models import QuerySet
from django.db.models.functions import Now

from inference.jobs import dispatch, stores
from inference.jobs.ending import sentence
from inference.jobs.models import Job
from inference.jobs.selectors import results_of
from inference.jobs.stores.errors import StoreUnavailable
from inference.jobs.transitions import Status
from inference.rows import RowsError
from registry.errors import Invalid, NotAllowed, NotFound
from registry.record.leases import from_now

log = structlog.get_logger("roundhouse.jobs")

_FOR_EVER = (RowsError, Invalid, NotAllowed, NotFound)
_AT_MOST = 100
_FIRST_TRY_S = 60  # what ended just now is being written already


def deliver(job_id: UUID | str) -> bool:
    """Write the results as one file; False where there is nothing to write, or the store does not answer.

    A store that was taken away since is told in the job's failure: its results stay to be fetched from here.
    Two at once write the same file, one over the other.
    """
    job = _undelivered().filter(pk=job_id).first()
    if job is None:
        return False
    failure = ""
    try:
        with stores.writing(job.output_ref) as target:
            for piece in results_of(job):
                target.write(piece)
    except _FOR_EVER as error:
        failure = sentence(f"The results could not be written to {job.output_ref}: {error}")
    except (StoreUnavailable, OSError) as error:
        log.warning("results wait for their store", job=str(job.pk), reason=str(error))
        return False
    _undelivered().filter(pk=job.pk).update(delivered_at=Now(), failure=failure)
    return not failure


def sweep() -> int:
    """Have written what a lost message, or a store that was away, has left; return how many were asked for."""
    waiting = _undelivered().filter(ended_at__lt=from_now(-_FIRST_TRY_S)).order_by("ended_at")[:_AT_MOST]
    for job in waiting:
        dispatch.deliver(job.pk)
    return len(waiting)


def _undelivered() -> "QuerySet[Job]":
    return Job.objects.filter(status=Status.DONE, delivered_at=None).exclude(output_ref="")
