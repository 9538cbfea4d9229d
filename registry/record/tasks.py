"""Celery tasks for deliveries and checkpoints."""

from celery import shared_task

from registry.record import checkpoints, deliveries


@shared_task(name="registry.deliver")
def deliver(delivery_id: int) -> None:
    deliveries.deliver(delivery_id)


@shared_task(name="registry.sweep_deliveries")
def sweep_deliveries() -> None:
    deliveries.sweep()


@shared_task(name="registry.write_checkpoint")
def write_checkpoint() -> None:
    checkpoints.write_checkpoint()
