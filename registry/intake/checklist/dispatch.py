"""Names of the checklist's background work."""

from celery import current_app
from django.db import transaction


def check_version(version_id: int, *, expires_s: int | None = None) -> None:
    """Start a check when the transaction has committed."""
    # Robust: a broker that is away must not fail the change; the sweeper asks again.
    transaction.on_commit(lambda: _send(version_id, expires_s), robust=True)


def _send(version_id: int, expires_s: int | None) -> None:
    task = current_app.signature("inference.check_version", args=[version_id])
    task.apply_async(retry=False, expires=expires_s)
