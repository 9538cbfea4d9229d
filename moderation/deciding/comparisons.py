"""Ends comparisons that no worker finishes, because its message was lost or the worker died."""

from datetime import timedelta

from django.utils import timezone

from moderation.deciding.models import BackgroundComparison, DetectorTrial, PolicyPreview, RunStatus

NOT_FINISHED = "No worker got further for 15 minutes. Start it again; see whether a worker runs."
_LONGEST_PAUSE = timedelta(minutes=15)  # messages are dropped after 10 minutes
_KINDS: tuple[type[BackgroundComparison], ...] = (PolicyPreview, DetectorTrial)


def fail_stuck_comparisons() -> None:
    """Fail those that were not begun, or got no further, for 15 minutes."""
    now = timezone.now()
    for kind in _KINDS:
        stuck = kind._default_manager.filter(
            status__in=(RunStatus.WAITING, RunStatus.RUNNING), progress_at__lt=now - _LONGEST_PAUSE
        )
        stuck.update(status=RunStatus.FAILED, failure=NOT_FINISHED, ended_at=now)
