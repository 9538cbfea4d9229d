"""Sends the background work of privacy by name."""

from celery import current_app
from django.db import transaction

ERASE = "moderation.erase"
_LIVES_S = 600  # it is sent every minute anyway


def erase() -> None:
    """Begin when the transaction has committed."""
    # Robust: a broker that is down must not fail the request; the row shows that the work waits.
    transaction.on_commit(
        lambda: current_app.signature(ERASE).apply_async(retry=False, expires=_LIVES_S), robust=True
    )
