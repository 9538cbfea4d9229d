"""Comparisons in the background: each is begun once, tells how far it is, and ends once, even if its worker dies."""

from datetime import timedelta
from typing import Any, Generic, TypeVar

from django.utils import timezone

from moderation.deciding.models import BackgroundComparison, DetectorTrial, PolicyPreview, RunStatus

C = TypeVar("C", bound=BackgroundComparison)

NOT_FINISHED = "No worker got further for 15 minutes. Start it again; see whether a worker runs."
_LONGEST_PAUSE = timedelta(minutes=15)  # messages are dropped after 10 minutes
_LONGEST_FAILURE = 500
_KINDS: tuple[type[BackgroundComparison], ...] = (PolicyPreview, DetectorTrial)


class BegunComparison(Generic[C]):
    """A comparison that this worker runs. What it writes has no effect once the comparison has ended."""

    def __init__(self, comparison: C) -> None:
        self.comparison = comparison
        self._running = type(comparison)._default_manager.filter(pk=comparison.pk, status=RunStatus.RUNNING)

    def tell(self, done: int, total: int | None = None) -> None:
        """Say how far it is."""
        known = {} if total is None else {"total": total}
        self._running.update(done=done, progress_at=timezone.now(), **known)

    def finish(self, result: dict[str, Any]) -> None:
        self._running.update(status=RunStatus.DONE, result=result, ended_at=timezone.now())

    def fail(self, reason: str) -> None:
        self._running.update(
            status=RunStatus.FAILED, failure=reason[:_LONGEST_FAILURE], ended_at=timezone.now()
        )


def begin(kind: type[C], pk: int, *related: str) -> BegunComparison[C] | None:
    """Begin a comparison that waits; None if it does not, for instance because another worker was first."""
    rows = kind._default_manager.filter(pk=pk)
    if not rows.filter(status=RunStatus.WAITING).update(status=RunStatus.RUNNING, progress_at=timezone.now()):
        return None
    return BegunComparison(rows.select_related(*related).get())


def fail_stuck_comparisons() -> None:
    """Fail those that were not begun, or got no further, for 15 minutes."""
    now = timezone.now()
    for kind in _KINDS:
        stuck = kind._default_manager.filter(
            status__in=(RunStatus.WAITING, RunStatus.RUNNING), progress_at__lt=now - _LONGEST_PAUSE
        )
        stuck.update(status=RunStatus.FAILED, failure=NOT_FINISHED, ended_at=now)
