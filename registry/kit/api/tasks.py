from celery import shared_task

from registry.kit.api import ledger


@shared_task(name="registry.sweep_idempotency")
def sweep_idempotency() -> None:
    ledger.sweep()
