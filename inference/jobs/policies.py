"""Who may see and change a job, how many may be open, which stores may be used, and which task may be called back."""

import re
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db.models import Count, F, Q, QuerySet, Sum

from inference.jobs.errors import BadJob, TooManyJobs
from inference.jobs.kinds import kinds_for
from inference.jobs.models import Job, Store
from inference.jobs.transitions import OPEN
from registry.access.policies import Right
from registry.errors import NotFound
from registry.kit.actors import Actor, in_scope

MAX_TASK, MAX_QUEUE = 200, 128
_TASK = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*", re.ASCII)
# No colon and no slash: a queue name is a Redis key, and part of a file name.
_QUEUE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)
_RESERVED_QUEUE = re.compile(r"(roundhouse|chores$|pool\.|jobs\.|celery-|_kombu|unacked)", re.IGNORECASE)
_RESERVED_TASK = re.compile(r"(celery|roundhouse|registry|inference|moderation)\.", re.IGNORECASE)
_RETRY_AFTER_S = 10


def own_jobs(by: Actor) -> "QuerySet[Job]":
    """The jobs of the key's tenant, or of the person."""
    if by.tenant_id is not None:
        return Job.objects.filter(tenant=by.tenant_id)
    return Job.objects.filter(tenant=None, user=by.user_id)


def jobs_in_scope(by: Actor) -> "QuerySet[Job]":
    """A key sees its tenant's jobs; people who may read the registry see those of every Model in their scope.

    Those of no Model are in the scope of everybody who submitted them and may still do so.
    """
    if by.tenant_id is None and Right.READ in by.rights:
        seen = in_scope(Job.objects.all(), by)
    else:
        right = Right.MANAGE_JOBS if Right.MANAGE_JOBS in by.rights else Right.PREDICT
        seen = in_scope(own_jobs(by), by, right=right)
    of_no_model = [name for name, kind in kinds_for(by) if not kind.has_model]
    return seen | own_jobs(by).filter(model=None, kind__in=of_no_model) if of_no_model else seen


def check_may_change(job: Job, by: Actor) -> None:
    """Owners may change their own jobs; others need the right to manage jobs. Jobs out of scope raise NotFound."""
    if not jobs_in_scope(by).filter(pk=job.pk).exists():
        raise NotFound(f"There is no job {job.pk}, or you may not see it.")
    if not may_change(job, by):
        by.check(Right.MANAGE_JOBS, model_id=job.model_id)


def may_change(job: Job, by: Actor) -> bool:
    """Whether someone who can see the job may cancel or retry it."""
    return by.may(Right.MANAGE_JOBS, model_id=job.model_id) or own_jobs(by).filter(pk=job.pk).exists()


def stores_for(by: Actor) -> "QuerySet[Store]":
    """The stores that the actor's jobs may use: those of the key's tenant, or those open to people."""
    if by.tenant_id is not None:
        return Store.objects.filter(tenants=by.tenant_id)
    return Store.objects.filter(for_people=True) if by.user_id is not None else Store.objects.none()


def check_quota(by: Actor, *, rows: int, input_bytes: int) -> None:
    """Raise TooManyJobs if another job would exceed a limit. Simultaneous requests may overshoot a little."""
    unanswered = F("rows_total") - F("rows_done") - F("rows_bad")
    used = own_jobs(by).filter(status__in=OPEN).aggregate(
        jobs=Count("pk"), rows=Sum(unanswered, filter=Q(is_planned=True)), input_bytes=Sum("input_bytes")
    )  # fmt: skip
    for unit, added, current, limit in (
        ("jobs", 1, used["jobs"], settings.JOB_OPEN),
        ("rows", rows, used["rows"] or 0, settings.JOB_OPEN_ROWS),
        ("bytes of input", input_bytes, used["input_bytes"] or 0, settings.JOB_OPEN_BYTES),
    ):
        if current + added > limit:
            raise TooManyJobs(
                f"You have {current:,} {unit} open, and the limit is {limit:,}; wait for some jobs to end.",
                retry_after_s=_RETRY_AFTER_S,
            )


def check_on_done(on_done: Mapping[str, Any] | None) -> None:
    """Raise BadJob unless `on_done` names a task and a queue of the sender's own Celery, not one of ours."""
    if on_done is None:
        return
    if not isinstance(on_done, Mapping) or set(on_done) != {"task", "queue"}:
        raise BadJob("`on_done` must have a `task` and a `queue`.")
    task, queue = on_done["task"], on_done["queue"]
    if not isinstance(task, str) or len(task) > MAX_TASK or not _TASK.fullmatch(task):
        raise BadJob(f"The task in `on_done` must be a dotted name of at most {MAX_TASK} characters.")
    if not isinstance(queue, str) or len(queue) > MAX_QUEUE or not _QUEUE.fullmatch(queue):
        raise BadJob(
            f"The queue in `on_done` must have at most {MAX_QUEUE} ASCII letters, digits, dots, hyphens and underscores."
        )
    if _RESERVED_TASK.match(task) or _RESERVED_QUEUE.match(queue):
        raise BadJob(f"{task!r} in the queue {queue!r} is reserved; `on_done` can only call your own tasks.")
