"""How much a reviewer may be exposed to on a day, and how much of it is left."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Q, Sum
from django.utils import timezone

from moderation.cases.models import SEVERE, Case
from moderation.review.models import Exposure, Reviewer

LEAST = timedelta(seconds=30)  # less than this is not worth beginning a case


@dataclass(frozen=True, slots=True)
class BudgetLeft:
    minutes_a_day: int
    severe_a_day: int
    time: timedelta
    severe: int

    @property
    def is_spent(self) -> bool:
        return self.time < LEAST

    @property
    def minutes(self) -> int:
        return max(0, int(self.time.total_seconds() // 60))


def reviewer_of(user_id: int) -> Reviewer:
    reviewer, _ = Reviewer.objects.get_or_create(user_id=user_id)
    return reviewer


def lock_reviewer(user_id: int) -> Reviewer:
    """The same person in two windows takes one case after the other."""
    locked = Reviewer.objects.select_for_update().filter(user_id=user_id)
    return locked.first() or locked.get(pk=reviewer_of(user_id).pk)


def budget_left(reviewer: Reviewer, now: datetime | None = None) -> BudgetLeft:
    """What is left today. A look that has not ended counts as long as it may last; one from before midnight, since then."""
    now = now or timezone.now()
    day = timezone.localdate(now)
    midnight = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
    of_today = Q(day=day)
    counts = reviewer.exposures.filter(of_today).aggregate(
        seconds=Sum("seconds"), severe=Count("pk", filter=Q(is_severe=True))
    )
    used = timedelta(seconds=counts["seconds"] or 0.0)
    of_yesterday = Q(day=day - timedelta(days=1)) & (
        Q(ended_at=None, may_last_until__gt=midnight) | Q(ended_at__gt=midnight)
    )
    for one in reviewer.exposures.filter((of_today & Q(ended_at=None)) | of_yesterday):
        used += (one.ended_at or one.may_last_until) - max(one.began_at, midnight)
    return BudgetLeft(
        reviewer.minutes_a_day,
        reviewer.severe_a_day,
        timedelta(minutes=reviewer.minutes_a_day) - used,
        reviewer.severe_a_day - counts["severe"],
    )


def begin_exposure(reviewer: Reviewer, case: Case, now: datetime, until: datetime) -> Exposure:
    return Exposure.objects.create(
        reviewer=reviewer,
        case=case,
        day=timezone.localdate(now),
        began_at=now,
        may_last_until=until,
        is_severe=case.harm >= SEVERE,
    )


def end_exposures(reviewer: Reviewer, now: datetime) -> float:
    """End what the reviewer looks at; return for how many seconds they could see it."""
    seen = 0.0
    for exposure in reviewer.exposures.filter(ended_at=None):
        exposure.ended_at = min(now, exposure.may_last_until)
        exposure.seconds = max(0.0, (exposure.ended_at - exposure.began_at).total_seconds())
        exposure.save(update_fields=["seconds", "ended_at"])
        seen += exposure.seconds
    return seen


def extend_exposure(reviewer: Reviewer, case: Case, until: datetime) -> None:
    """A report may have made the case severe in the meantime."""
    running = reviewer.exposures.filter(case=case, ended_at=None)
    running.update(may_last_until=until, is_severe=case.harm >= SEVERE)
