"""How much reviewers agree, from contents that two people judged without seeing each other's verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count, F, Q, QuerySet
from django.utils import timezone

from moderation.cases.models import CaseSource
from moderation.policies.rules import Ruling
from moderation.quality.agreement import LEAST_DOUBLE_REVIEWS, estimate_agreement
from moderation.quality.careless_reviewers import DoubleReview, ReviewerRecord, assess_reviewers
from moderation.quality.estimates import Estimate
from moderation.quality.judged_contents import ReceivedPeriod
from moderation.review.budgets import reviewer_of
from moderation.review.models import Reviewer, Verdict
from moderation.review.transitions import VerdictStatus
from moderation.rights import ModerationRight
from registry.kit.actors import Actor
from registry.kit.text import MAX_REASON, checked_line
from registry.record.audit import record_change

_NO_RECORD = ReviewerRecord(0, 0, 0, 1.0, None)


@dataclass(frozen=True, slots=True)
class DoubleVerdict:
    """Two verdicts about one content. `review` has who gave them; `rulings` are the first one's and the second one's."""

    review: DoubleReview
    rulings: tuple[str, str]


@dataclass(frozen=True, slots=True)
class ReviewerFigures:
    """A reviewer's verdicts in a period. `record`: what the double reviews say since somebody last talked with them."""

    user_id: int
    name: str
    verdicts: int
    appealed: int
    overturned: int
    agreement: Estimate
    double_reviews: int
    differing: int
    record: ReviewerRecord
    assessed_from: datetime | None


@dataclass(frozen=True, slots=True)
class ReviewersReport:
    agreement: Estimate
    double_reviews: int
    differing: int
    reviewers: Sequence[ReviewerFigures]  # those that differ too often come first

    @property
    def needed(self) -> int:
        """Double reviews without which agreement is not told."""
        return LEAST_DOUBLE_REVIEWS


def read_reviewers(period: ReceivedPeriod) -> ReviewersReport:
    since = _assessed_from()
    doubles = _double_verdicts(period, since)
    counts = _verdict_counts(period)
    appeals = _appeal_counts(period)
    records = assess_reviewers(one.review for one in doubles)
    people = set(counts) | {person for one in doubles for person in (one.review.first, one.review.second)}
    names = dict(User.objects.filter(pk__in=people).values_list("pk", "username"))
    figures = []
    for person in people & names.keys():
        own = [one for one in doubles if person in (one.review.first, one.review.second)]
        appealed, overturned = appeals.get(person, (0, 0))
        figures.append(
            ReviewerFigures(
                user_id=person,
                name=names[person],
                verdicts=counts.get(person, 0),
                appealed=appealed,
                overturned=overturned,
                agreement=_agreement(own),
                double_reviews=len(own),
                differing=_differing(own),
                record=records.get(person, _NO_RECORD),
                assessed_from=since.get(person),
            )
        )
    figures.sort(key=lambda one: (not one.record.is_flagged, -one.verdicts, one.name))
    return ReviewersReport(_agreement(doubles), len(doubles), _differing(doubles), figures)


@transaction.atomic
def settle_flag(*, user: User, note: str, by: Actor) -> Reviewer:
    """Assess a reviewer afresh, because somebody talked with them: earlier double reviews no longer count against them."""
    by.check(ModerationRight.LEAD)
    note = checked_line(note, what="note", longest=MAX_REASON)
    reviewer = reviewer_of(user.pk)
    before, reviewer.assessed_from = reviewer.assessed_from, timezone.now()
    reviewer.save(update_fields=["assessed_from"])
    record_change(
        action="settle_reviewer_flag",
        subject=reviewer,
        before={"assessed_from": before.isoformat() if before else None},
        after={"assessed_from": reviewer.assessed_from.isoformat()},
        reason=note,
        by=by,
    )
    return reviewer


def _assessed_from() -> dict[int, datetime]:
    rows = Reviewer.objects.filter(assessed_from__isnull=False).values_list("user_id", "assessed_from")
    return {person: moment for person, moment in rows if moment is not None}


def _double_verdicts(period: ReceivedPeriod, since: Mapping[int, datetime]) -> list[DoubleVerdict]:
    """In the order of time, each with what a lead decided if the two differ."""
    second = _final(period).filter(case__source=CaseSource.SECOND_REVIEW)
    known = second.filter(reviewer__isnull=False, case__about__reviewer__isnull=False).exclude(
        reviewer=F("case__about__reviewer")
    )
    rows = known.order_by("made_at", "pk").values_list(
        "case__about", "case__about__reviewer", "reviewer", "case__about__ruling", "ruling", "made_at"
    )
    thirds = dict(
        Verdict.objects.filter(
            status=VerdictStatus.FINAL,
            case__source=CaseSource.DISAGREEMENT,
            case__about__in=known.values("case__about"),
        ).values_list("case__about", "ruling")
    )
    doubles = []
    for about, first, other, first_ruling, other_ruling, made_at in rows:
        agree, third = first_ruling == other_ruling, thirds.get(about)
        wrong = None
        if not agree and third is not None:
            wrong = other if third == first_ruling else first
        settled = frozenset(
            person for person in (first, other) if person in since and made_at < since[person]
        )
        doubles.append(
            DoubleVerdict(DoubleReview(first, other, agree, wrong, settled), (first_ruling, other_ruling))
        )
    return doubles


def _agreement(doubles: Sequence[DoubleVerdict]) -> Estimate:
    return estimate_agreement(
        both_violate=sum(one.rulings == (Ruling.BLOCK, Ruling.BLOCK) for one in doubles),
        neither_violates=sum(one.rulings == (Ruling.ALLOW, Ruling.ALLOW) for one in doubles),
        differ=_differing(doubles),
    )


def _differing(doubles: Sequence[DoubleVerdict]) -> int:
    return sum(not one.review.agree for one in doubles)


def _final(period: ReceivedPeriod) -> QuerySet[Verdict]:
    return Verdict.objects.filter(
        status=VerdictStatus.FINAL, made_at__gte=period.since, made_at__lt=period.until
    )


def _verdict_counts(period: ReceivedPeriod) -> dict[int, int]:
    given = _final(period).filter(reviewer__isnull=False).order_by().values("reviewer")
    return dict(given.annotate(count=Count("pk")).values_list("reviewer", "count"))


def _appeal_counts(period: ReceivedPeriod) -> dict[int, tuple[int, int]]:
    """How many verdicts of each reviewer were appealed against and decided again, and how many of them were overturned."""
    answered = _final(period).filter(case__source=CaseSource.APPEAL, case__about__reviewer__isnull=False)
    rows = (
        answered.order_by()
        .values("case__about__reviewer")
        .annotate(appealed=Count("pk"), overturned=Count("pk", filter=Q(ruling=Ruling.ALLOW.value)))
    )
    return {
        person: (appealed, overturned)
        for person, appealed, overturned in rows.values_list(
            "case__about__reviewer", "appealed", "overturned"
        )
    }
