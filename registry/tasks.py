"""The Celery tasks of the registry: those of its packages, and one for the kit."""

from celery import shared_task

from registry.intake import tasks as intake_tasks
from registry.kit.api import idempotency
from registry.record import tasks as record_tasks

__all__ = ["intake_tasks", "record_tasks", "sweep_idempotency"]


@shared_task(name="registry.sweep_idempotency")
def sweep_idempotency() -> None:
    idempotency.sweep()
