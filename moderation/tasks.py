"""Celery entry points; each calls one service."""

from celery import shared_task

from moderation.cases import opening
from moderation.deciding import held, previews, trials
from moderation.deciding.comparisons import fail_stuck_comparisons
from moderation.privacy import erasing, retention


@shared_task(name="moderation.decide_held")
def decide_held() -> None:
    held.decide_held()


@shared_task(name="moderation.expire_decisions")
def expire_decisions() -> None:
    retention.remove_old_contents()
    retention.remove_old_decisions()


@shared_task(name="moderation.sweep_comparisons")
def sweep_comparisons() -> None:
    fail_stuck_comparisons()


@shared_task(name="moderation.run_preview")
def run_preview(preview_id: int) -> None:
    previews.run_preview(preview_id)


@shared_task(name="moderation.run_trial")
def run_trial(trial_id: int) -> None:
    trials.run_trial(trial_id)


@shared_task(name="moderation.withdraw_superseded")
def withdraw_superseded() -> None:
    opening.withdraw_superseded()


@shared_task(name="moderation.erase")
def erase() -> None:
    erasing.erase_pending()
