"""How long a review takes, and how many hours the reviewers have: what previews turn reviews a day into people with."""

from datetime import timedelta

from django.db.models import Sum
from django.utils import timezone

from moderation.deciding.previews import ReviewCapacity, reviewing_people
from moderation.quality.handling_times import measure_handling_time
from moderation.review.models import Reviewer, Verdict
from moderation.review.transitions import VerdictStatus

LEAST_VERDICTS = 20  # for a measured time
DAYS = 30
_MOST = 10_000  # the newest verdicts say as much as all
_LEAST_SECONDS = (
    0.5  # cases that were decided together got less each, and say nothing about a case that is looked at
)


def measured_capacity() -> ReviewCapacity:
    """The median of the last 30 days' verdicts, and the budgets that the reviewers have for a day."""
    since = timezone.now() - timedelta(days=DAYS)
    given = Verdict.objects.filter(made_at__gte=since, seconds__gte=_LEAST_SECONDS).exclude(
        status=VerdictStatus.UNDONE
    )
    seconds = list(given.order_by("-made_at").values_list("seconds", flat=True)[:_MOST])
    time = measure_handling_time(seconds)
    people = reviewing_people()
    count = people.count()
    budgets = Reviewer.objects.filter(user__in=people.values("pk"))
    known = budgets.aggregate(minutes=Sum("minutes_a_day"))["minutes"] or 0
    usual = Reviewer._meta.get_field("minutes_a_day").default  # of those who have not begun yet
    minutes = known + (count - budgets.count()) * usual
    is_enough = time.count >= LEAST_VERDICTS
    return ReviewCapacity(time.median_s if is_enough else None, count, minutes / 60)
