"""Replies to senders' own Celery, and the record of rejected jobs.

A reply is built from a database row, sent at least once, and repeated until the broker accepts it.
"""

import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import structlog
from celery.exceptions import CeleryError
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from kombu.exceptions import ChannelError, KombuError
from redis import RedisError

from inference.doors.celery import queues
from inference.doors.celery.models import MAX_SENDER, RefusedOrder
from inference.jobs.errors import BadJob
from inference.jobs.models import Job
from inference.jobs.policies import check_on_done
from inference.jobs.serializers import job_url
from inference.jobs.transitions import ENDED
from registry.access.keys import Signer
from registry.kit.clock import from_now
from registry.kit.text import MAX_REASON, storable

log = structlog.get_logger("roundhouse.celery_door")

REFUSED = "refused"
UNKNOWN_SENDER = "nobody known"
ROWS_A_MINUTE = 60
_BROKER_ERRORS = (RedisError, OSError, KombuError, ChannelError, CeleryError)
_MAX_SWEPT = 500
_GRACE_S = 10  # the reply for a job that just ended is already under way
_TRY_FOR = timedelta(days=7)
_KEEP_REJECTED = timedelta(days=30)


def reply(job_id: UUID | str) -> bool:
    """Tell the sender that a job has ended; False if the job names no task, or the sender was already told."""
    job = _unanswered_jobs().filter(pk=job_id).first()
    return job is not None and _reply_for_job(job)


def sweep_replies() -> int:
    """Send missing replies, and delete old rejected jobs; return how many senders were called."""
    RefusedOrder.objects.filter(created_at__lt=timezone.now() - _KEEP_REJECTED).delete()
    since = timezone.now() - _TRY_FOR
    jobs = _unanswered_jobs().filter(ended_at__lt=from_now(-_GRACE_S), ended_at__gt=since)
    rejected = RefusedOrder.objects.filter(on_done__isnull=False, told_at=None, created_at__gt=since)
    return sum(map(_reply_for_job, jobs.order_by("ended_at")[:_MAX_SWEPT])) + sum(
        map(_reply_for_rejected, rejected.order_by("created_at")[:_MAX_SWEPT])
    )


def job_reply(job: Job) -> dict[str, Any]:
    return {
        "job": str(job.pk),
        "status": job.status,
        "model": job.model.slug if job.model is not None else None,
        "version": job.version.number if job.version is not None else None,
        "rows_done": job.rows_done,
        "rows_bad": job.rows_bad,
        "failure": job.failure,
        "results_url": f"{settings.PUBLIC_URL}{job_url(job)}/results",
    }


def _unanswered_jobs() -> "QuerySet[Job]":
    unanswered = Job.objects.filter(status__in=ENDED, on_done__isnull=False, told_at=None)
    return unanswered.select_related("model", "version")


def _reply_for_job(job: Job) -> bool:
    # Derived from the content, so that a repeated reply has the same task id.
    task_id = uuid5(job.pk, f"{job.status} {job.ended_at}")
    if not _call(job.on_done, job_reply(job), task_id):
        return False
    # Unless it was retried meanwhile and ended later. Not `=`: SQLite compares text, and the database clock writes
    # fewer digits than Django.
    Job.objects.filter(pk=job.pk, ended_at__lte=job.ended_at).update(told_at=Now())
    return True


def _reply_for_rejected(rejected: RefusedOrder) -> bool:
    content = {
        "job": rejected.task_id,
        "status": REFUSED,
        "model": rejected.model_slug,
        "version": None,
        "rows_done": 0,
        "rows_bad": 0,
        "failure": rejected.why,
        "code": rejected.code,
        "results_url": None,
    }
    if not _call(rejected.on_done, content, uuid5(NAMESPACE_URL, f"refused {rejected.pk}")):
        return False
    RefusedOrder.objects.filter(pk=rejected.pk).update(told_at=Now())
    return True


def _call(on_done: Any, content: dict[str, Any], task_id: UUID) -> bool:
    try:
        queues.call_task(on_done["task"], on_done["queue"], content, task_id=task_id)
    except _BROKER_ERRORS as error:
        log.warning("a sender was not told yet", job=content["job"], reason=str(error))
        return False
    return True


class _RejectionBudget:
    """Limits the rows that unverified messages may write; the rest is only logged."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._minute, self._rows = 0, 0

    def has_room(self) -> bool:
        minute = int(time.monotonic() / 60)
        with self._lock:
            if minute != self._minute:
                self._minute, self._rows = minute, 0
            self._rows += 1
            return self._rows <= ROWS_A_MINUTE


_budget = _RejectionBudget()


def reject_unverified(*, task_id: str, code: str, why: str) -> None:
    """Record a message without a valid signature. It gets no reply, because it may name anyone's task."""
    log.warning("message refused", task_id=task_id, code=code, reason=why)
    if _budget.has_room():
        RefusedOrder.objects.create(
            task_id=task_id, sender=UNKNOWN_SENDER, code=code, why=storable(why, MAX_REASON)
        )


def reject(signer: Signer, *, task_id: str, content: Mapping[str, Any], code: str, why: str) -> RefusedOrder:
    """Record a rejected job of a known key, and reply to its sender, now or in a later sweep."""
    log.info("order refused", task_id=task_id, key=signer.name, code=code, reason=why)
    with transaction.atomic():
        rejected = RefusedOrder.objects.create(
            task_id=task_id,
            key_id=signer.key_id,
            sender=storable(f"key {signer.name}", MAX_SENDER),
            model_slug=storable(str(content.get("model") or ""), 64),
            code=code,
            why=storable(why, MAX_REASON),
            on_done=_valid_on_done(content.get("on_done")),
        )
    if rejected.on_done is not None:
        _reply_for_rejected(rejected)
    return rejected


def _valid_on_done(on_done: Any) -> Any:
    try:
        check_on_done(on_done)
    except BadJob:
        return None
    return on_done
