"""Celery entry points of uploads."""

from celery import shared_task

from registry.intake import services


@shared_task(name="registry.sweep_uploads")
def sweep_uploads() -> None:
    services.sweep_uploads()
