"""Celery entry points of the intake."""

from celery import shared_task

from registry.intake import services
from registry.intake.checklist import services as checklist


@shared_task(name="registry.sweep_uploads")
def sweep_uploads() -> None:
    services.sweep_uploads()


@shared_task(name="registry.sweep_checks")
def sweep_checks() -> None:
    checklist.sweep()
