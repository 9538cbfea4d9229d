"""Celery entry points of jobs."""

from celery import shared_task

from inference.jobs import dispatch, services
from inference.jobs.running import runner


@shared_task(name=dispatch.RUN, acks_late=False)
def run_jobs() -> None:
    """Only a hint: it may be late, duplicated or lost."""
    runner.hint()


@shared_task(name=dispatch.SWEEP)
def sweep_jobs() -> None:
    services.sweep_jobs()


@shared_task(name=dispatch.EXPIRE)
def expire_jobs() -> None:
    services.expire_jobs()


@shared_task(name=dispatch.DELIVER)
def deliver_results(job_id: str) -> None:
    services.deliver_results(job_id)


@shared_task(name=dispatch.SWEEP_DELIVERIES)
def sweep_results() -> None:
    services.sweep_deliveries()
