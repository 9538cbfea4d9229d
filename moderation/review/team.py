"""How a team of reviewers is doing: what comes in and goes out, who does what, and how long it takes."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from django.contrib.auth.models import User
from django.db.models import Count, Max, Sum
from django.utils import timezone

from moderation.cases.models import Case
from moderation.cases.selectors import waiting_cases
from moderation.review.models import Exposure, Reviewer, Verdict
from moderation.review.reviewers import people_who_review
from moderation.review.transitions import VerdictStatus

HOURS = 24
HANDLING_DAYS = 7
_MOST_VERDICTS = 50_000  # that handling times are computed from
_SLOWEST_SHOWN = 20
_SEEN_DAYS = 30


@dataclass(frozen=True, slots=True)
class HourOfWork:
    """How many cases were opened and decided in the hour that begins then."""

    begins_at: datetime
    opened: int
    decided: int


@dataclass(frozen=True, slots=True)
class PersonAtWork:
    """`reviewer`: None for somebody who never took a case and has no budget of their own."""

    person: User
    reviewer: Reviewer | None
    verdicts: int
    seconds: float | None  # the median, of today's verdicts
    minutes_used: float
    severe_used: int
    holds: int
    seen_at: datetime | None

    @property
    def minutes_a_day(self) -> int:
        return (self.reviewer or Reviewer()).minutes_a_day

    @property
    def severe_a_day(self) -> int:
        return (self.reviewer or Reviewer()).severe_a_day


@dataclass(frozen=True, slots=True)
class ViolationTime:
    code: str
    verdicts: int
    seconds: float  # the median


def hours_of_work(now: datetime) -> list[HourOfWork]:
    """The last 24 hours, the oldest first."""
    first = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS - 1)
    opened = _by_hour(Case.objects.filter(opened_at__gte=first).values_list("opened_at", flat=True))
    given = Verdict.objects.filter(made_at__gte=first).exclude(status=VerdictStatus.UNDONE)
    decided = _by_hour(given.values_list("made_at", flat=True))
    begins = [first + timedelta(hours=number) for number in range(HOURS)]
    return [HourOfWork(begin, opened[begin], decided[begin]) for begin in begins]


def people_at_work(now: datetime) -> list[PersonAtWork]:
    """Everybody who reviews, with what they did today."""
    people = people_who_review()
    reviewers = {row.user_id: row for row in Reviewer.objects.filter(user__in=people)}
    seconds = _seconds_of_today(now)
    used, severe, seen = _exposures(now)
    holds: dict[int, int] = dict(
        waiting_cases()
        .filter(assigned_to__in=people)
        .order_by()
        .values_list("assigned_to")
        .annotate(count=Count("pk"))
    )
    shown = []
    for person in people:
        reviewer, times = reviewers.get(person.pk), seconds.get(person.pk, [])
        key = reviewer.pk if reviewer is not None else 0
        shown.append(
            PersonAtWork(
                person,
                reviewer,
                len(times),
                median(times) if times else None,
                used.get(key, 0.0) / 60,
                severe.get(key, 0),
                holds.get(person.pk, 0),
                seen.get(key),
            )
        )
    return shown


def handling_times(now: datetime, *, sees_restricted: bool) -> list[ViolationTime]:
    """The median time per verdict of the last 7 days by violation, the slowest first."""
    verdicts = Verdict.objects.filter(made_at__gte=now - timedelta(days=HANDLING_DAYS))
    if not sees_restricted:
        verdicts = verdicts.filter(case__is_restricted=False)
    verdicts = verdicts.exclude(status=VerdictStatus.UNDONE).order_by("-made_at")
    seconds: dict[str, list[float]] = defaultdict(list)
    for code, one in verdicts.values_list("case__code", "seconds")[:_MOST_VERDICTS]:
        seconds[code].append(one)
    times = [ViolationTime(code, len(all_), median(all_)) for code, all_ in seconds.items()]
    return sorted(times, key=lambda time: -time.seconds)[:_SLOWEST_SHOWN]


def _by_hour(moments: Iterable[datetime]) -> dict[datetime, int]:
    counts: dict[datetime, int] = defaultdict(int)
    for moment in moments:
        counts[moment.replace(minute=0, second=0, microsecond=0)] += 1
    return counts


def _seconds_of_today(now: datetime) -> dict[int, list[float]]:
    midnight = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
    verdicts = Verdict.objects.filter(made_at__gte=midnight, reviewer__isnull=False)
    seconds: dict[int, list[float]] = defaultdict(list)
    for pk, one in verdicts.exclude(status=VerdictStatus.UNDONE).values_list("reviewer", "seconds"):
        seconds[pk].append(one)
    return seconds


def _exposures(now: datetime) -> tuple[dict[int, float], dict[int, int], dict[int, datetime]]:
    """Of each reviewer: seconds and severe contents that count today, and when they last looked at something."""
    of_today = Exposure.objects.filter(day=timezone.localdate(now))
    ended = of_today.filter(ended_at__isnull=False).values_list("reviewer").annotate(seconds=Sum("seconds"))
    used: dict[int, float] = {pk: seconds or 0.0 for pk, seconds in ended}
    for pk, began_at, until in of_today.filter(ended_at=None).values_list(
        "reviewer", "began_at", "may_last_until"
    ):
        used[pk] = used.get(pk, 0.0) + (until - began_at).total_seconds()
    severe = dict(of_today.filter(is_severe=True).values_list("reviewer").annotate(count=Count("pk")))
    reviewers = Reviewer.objects.order_by().values("pk")
    lately = Exposure.objects.filter(
        reviewer__in=reviewers, day__gte=timezone.localdate(now) - timedelta(days=_SEEN_DAYS)
    )
    seen = dict(lately.values_list("reviewer").annotate(at=Max("began_at")))
    return used, severe, seen
