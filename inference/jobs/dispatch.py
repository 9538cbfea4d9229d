"""Names of this room's background work, and the hints that start it early."""

import time
from uuid import UUID

from celery import current_app
from django.conf import settings
from django.db import transaction

from registry.catalogue.models import Model

RUN = "inference.run_jobs"
SWEEP = "inference.sweep_jobs"
EXPIRE = "inference.expire_jobs"
TELL_SENDER = "inference.tell_sender"
DELIVER = "inference.deliver_results"
SWEEP_DELIVERIES = "inference.sweep_results"
SWEEP_SENDERS = "inference.sweep_senders"
_HINT_EVERY_S = 0.05  # a stream of jobs needs no message each: a runner that works looks again by itself
_HINT_LIVES_S = 60
_hinted_at: dict[str, float] = {}


def queue_of(pool: str) -> str:
    return f"jobs.{pool}"


def hint(model: Model) -> None:
    """Tell the workers of the Model's pool on commit that there is work; they would find it within seconds anyway."""
    # Robust: a broker that is away must not fail what the database has accepted.
    pool = model.pool if settings.EXECUTOR == "workers" else settings.POOL
    transaction.on_commit(lambda: _send_hint(pool), robust=True)


def tell_sender(job_id: UUID) -> None:
    """Call the sender's own Celery on commit."""
    _on_commit(TELL_SENDER, job_id)


def deliver(job_id: UUID) -> None:
    """Write the results to the sender's store on commit."""
    _on_commit(DELIVER, job_id)


def _on_commit(task: str, job_id: UUID) -> None:
    transaction.on_commit(
        lambda: current_app.signature(task, args=[str(job_id)]).apply_async(retry=False), robust=True
    )


def _send_hint(pool: str) -> None:
    now = time.monotonic()
    if now - _hinted_at.get(pool, -_HINT_EVERY_S) < _HINT_EVERY_S:
        return
    _hinted_at[pool] = now
    current_app.signature(RUN).apply_async(queue=queue_of(pool), expires=_HINT_LIVES_S, retry=False)
