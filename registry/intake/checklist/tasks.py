from celery import shared_task

from registry.intake.checklist import services


@shared_task(name="registry.sweep_checks")
def sweep_checks() -> None:
    services.sweep()
