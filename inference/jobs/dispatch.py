"""Task names, and the messages that start background work early."""

import time
from uuid import UUID

from celery import current_app
from django.conf import settings
from django.db import transaction

RUN = "inference.run_jobs"
SWEEP = "inference.sweep_jobs"
EXPIRE = "inference.expire_jobs"
REPLY_TO_SENDER = "inference.tell_sender"
DELIVER = "inference.deliver_results"
SWEEP_DELIVERIES = "inference.sweep_results"
SWEEP_REPLIES = "inference.sweep_senders"
_HINT_EVERY_S = 0.05  # one message per job would be too many: a busy runner looks for more work anyway
_HINT_LIVES_S = 60
_hinted_at: dict[str, float] = {}


def hint(pool: str) -> None:
    """On commit, tell the workers of a job's pool that there is work. Otherwise they look every few seconds."""
    # Robust: an unreachable broker must not raise an error after the database has committed.
    hinted = pool if settings.EXECUTOR == "workers" else settings.POOL
    transaction.on_commit(lambda: _send_hint(hinted), robust=True)


def reply_to_sender(job_id: UUID) -> None:
    """On commit, call the task in the sender's own Celery."""
    _on_commit(REPLY_TO_SENDER, job_id)


def deliver(job_id: UUID) -> None:
    """On commit, write the results to the store named by the sender."""
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
    current_app.signature(RUN).apply_async(queue=f"jobs.{pool}", expires=_HINT_LIVES_S, retry=False)
