"""Celery entry points of jobs."""

from celery import shared_task

from inference.jobs import delivering, dispatch, services
from inference.jobs.celery_door import telling
from inference.jobs.running import here


@shared_task(name=dispatch.RUN, acks_late=False)
def run_jobs() -> None:
    """A hint: late, twice or lost, it does no harm."""
    here.hint()


@shared_task(name=dispatch.SWEEP)
def sweep_jobs() -> None:
    services.sweep_jobs()


@shared_task(name=dispatch.EXPIRE)
def expire_jobs() -> None:
    services.expire_jobs()


@shared_task(name=dispatch.TELL_SENDER)
def tell_sender(job_id: str) -> None:
    telling.tell(job_id)


@shared_task(name=dispatch.SWEEP_SENDERS)
def sweep_senders() -> None:
    telling.sweep()


@shared_task(name=dispatch.DELIVER)
def deliver_results(job_id: str) -> None:
    delivering.deliver(job_id)


@shared_task(name=dispatch.SWEEP_DELIVERIES)
def sweep_results() -> None:
    delivering.sweep()
