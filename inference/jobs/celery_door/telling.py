"""Calling the sender's own Celery: from the row, at least once, and again until the broker has taken it."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import structlog
from celery.exceptions import CeleryError
from django.conf import settings
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from kombu.exceptions import ChannelError, KombuError
from redis import RedisError

from inference.jobs.celery_door import broker
from inference.jobs.celery_door.models import RefusedOrder
from inference.jobs.models import Job
from inference.jobs.transitions import ENDED
from registry.record.leases import from_now

log = structlog.get_logger("roundhouse.celery_door")

REFUSED = "refused"
_BROKEN = (RedisError, OSError, KombuError, ChannelError, CeleryError)
_AT_MOST = 500
_FIRST_TRY_S = 10  # what ended just now is being told already
_TRY_FOR = timedelta(days=7)
_KEEP_REFUSED = timedelta(days=30)


def tell(job_id: UUID | str) -> bool:
    """Tell the sender that a job has ended; False where there is nobody to tell, or they have been told."""
    job = _untold_jobs().filter(pk=job_id).first()
    return job is not None and _tell_of_job(job)


def sweep() -> int:
    """Tell what was not told yet, and forget old refusals; return how many senders were called."""
    RefusedOrder.objects.filter(created_at__lt=timezone.now() - _KEEP_REFUSED).delete()
    since = timezone.now() - _TRY_FOR
    jobs = _untold_jobs().filter(ended_at__lt=from_now(-_FIRST_TRY_S), ended_at__gt=since)
    refusals = RefusedOrder.objects.filter(on_done__isnull=False, told_at=None, created_at__gt=since)
    return sum(_tell_of_job(job) for job in jobs.order_by("ended_at")[:_AT_MOST]) + tell_of_refused(
        refusals.order_by("created_at")[:_AT_MOST]
    )


def tell_of_refused(refused: Iterable[RefusedOrder]) -> int:
    return sum(_tell_of_refused(order) for order in refused)


def told_of_job(job: Job) -> dict[str, Any]:
    address = f"{settings.PUBLIC_URL}/api/v1/jobs/{job.pk}"
    return {
        "job": str(job.pk),
        "status": job.status,
        "model": job.model.slug,
        "version": job.version.number,
        "rows_done": job.rows_done,
        "rows_bad": job.rows_bad,
        "failure": job.failure,
        "results_url": f"{address}/results",
    }


def _untold_jobs() -> "QuerySet[Job]":
    untold = Job.objects.filter(status__in=ENDED, on_done__isnull=False, told_at=None)
    return untold.select_related("model", "version")


def _tell_of_job(job: Job) -> bool:
    # Derived from what is told: a receiver that hears it twice sees the same task id.
    task_id = uuid5(job.pk, f"{job.status} {job.ended_at}")
    if not _call(job.on_done, told_of_job(job), task_id):
        return False
    # Unless it was tried again meanwhile, and has a later end to be told of. Not `=`: SQLite compares texts, and the
    # database's own clock writes fewer digits than Django.
    Job.objects.filter(pk=job.pk, ended_at__lte=job.ended_at).update(told_at=Now())
    return True


def _tell_of_refused(order: RefusedOrder) -> bool:
    told = {
        "job": order.task_id,
        "status": REFUSED,
        "model": order.model_slug,
        "version": None,
        "rows_done": 0,
        "rows_bad": 0,
        "failure": order.why,
        "code": order.code,
        "results_url": None,
    }
    if not _call(order.on_done, told, uuid5(NAMESPACE_URL, f"refused {order.pk}")):
        return False
    RefusedOrder.objects.filter(pk=order.pk).update(told_at=Now())
    return True


def _call(on_done: Any, told: dict[str, Any], task_id: UUID) -> bool:
    try:
        broker.call(on_done["task"], on_done["queue"], told, task_id=task_id)
    except _BROKEN as error:
        log.warning("a sender was not told yet", job=told["job"], reason=str(error))
        return False
    return True
