"""Sends the checklist's background tasks by name."""

from celery import current_app
from django.db import transaction


def check_version(version_id: int) -> None:
    """Start a check once the transaction has committed."""
    _on_commit(version_id, False, None)


def check_unfinished(version_id: int, *, expires_s: int) -> None:
    """Start a check for a version whose check never finished; the message expires if it is late."""
    _on_commit(version_id, True, expires_s)


def _on_commit(version_id: int, only_unfinished: bool, expires_s: int | None) -> None:
    # Robust: a broker that is down must not fail the change; the sweeper requests the check again.
    transaction.on_commit(lambda: _send(version_id, only_unfinished, expires_s), robust=True)


def _send(version_id: int, only_unfinished: bool, expires_s: int | None) -> None:
    options = {"only_unfinished": only_unfinished}
    task = current_app.signature("inference.check_version", args=[version_id], kwargs=options)
    task.apply_async(retry=False, expires=expires_s)
