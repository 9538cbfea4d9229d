"""Celery entry points."""

from celery import Task, shared_task

from inference.serving import services


@shared_task(name="inference.record_pulse", bind=True)
def record_pulse(self: Task) -> None:
    services.record_pulse(worker=self.request.hostname or "unknown")
