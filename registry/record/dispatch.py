"""Names of this room's background work."""

from celery import current_app
from django.db import transaction


def deliver(delivery_id: int) -> None:
    """Start a delivery when the transaction has committed."""
    # Robust: a broker that is away must not fail the change; the sweeper finds the delivery within 15 s.
    # A lambda: Django names what failed by its __qualname__, and a partial has none.
    transaction.on_commit(lambda: _send(delivery_id), robust=True)


def _send(delivery_id: int) -> None:
    current_app.signature("registry.deliver", args=[delivery_id]).apply_async(retry=False)
