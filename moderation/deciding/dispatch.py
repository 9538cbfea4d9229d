"""Sends the background work of deciding by name."""

from celery import current_app
from django.db import transaction

MODERATION = "moderation"  # the kind of jobs whose rows are contents
RUN_PREVIEW, RUN_TRIAL = "moderation.run_preview", "moderation.run_trial"
_LIVES_S = 600  # what was asked longer ago nobody waits for


def run_preview(preview_id: int) -> None:
    _on_commit(RUN_PREVIEW, preview_id)


def run_trial(trial_id: int) -> None:
    _on_commit(RUN_TRIAL, trial_id)


def _on_commit(task: str, pk: int) -> None:
    # Robust: a broker that is down must not fail the request; the row shows that the work waits.
    transaction.on_commit(
        lambda: current_app.signature(task, args=[pk]).apply_async(retry=False, expires=_LIVES_S), robust=True
    )
