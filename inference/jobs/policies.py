"""Whose a job is, and who may see and change it."""

from django.db.models import QuerySet

from inference.jobs.models import Job
from registry.access.policies import Right
from registry.errors import NotFound
from registry.kit.actors import Actor, in_scope


def own(by: Actor) -> "QuerySet[Job]":
    """The jobs of whom the actor acts for: a key's tenant, or the person."""
    if by.tenant_id is not None:
        return Job.objects.filter(tenant=by.tenant_id)
    return Job.objects.filter(tenant=None, user=by.user_id)


def in_reach(by: Actor) -> "QuerySet[Job]":
    """A key sees its tenant's jobs; who reads the registry sees those of every Model in their reach."""
    if by.tenant_id is None and Right.READ in by.rights:
        return in_scope(Job.objects.all(), by)
    right = Right.MANAGE_JOBS if Right.MANAGE_JOBS in by.rights else Right.PREDICT
    return in_scope(own(by), by, right=right)


def check_may_change(job: Job, by: Actor) -> None:
    """Owners change their own jobs; others need the right to manage jobs. What is out of reach does not exist."""
    if not in_reach(by).filter(pk=job.pk).exists():
        raise NotFound(f"There is no job {job.pk}, or you may not see it.")
    if not may_change(job, by):
        by.check(Right.MANAGE_JOBS, model_id=job.model_id)


def may_change(job: Job, by: Actor) -> bool:
    """Whether somebody who sees the job may cancel it or try it again."""
    return by.may(Right.MANAGE_JOBS, model_id=job.model_id) or own(by).filter(pk=job.pk).exists()
