"""Taking cases: the most urgent one that a reviewer may see, for a while, and passing it on."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from moderation.cases.models import LOOKS_AGAIN, SEVERE, Case, CaseSource, ReviewQueue
from moderation.cases.opening import withdraw_cases
from moderation.cases.selectors import (
    by_urgency,
    cases_of,
    cases_without_queue,
    visible_cases,
    waiting_cases,
)
from moderation.deciding.models import Decision
from moderation.deciding.selectors import newer_decisions, same_content
from moderation.errors import AlreadyDecided, BudgetSpent
from moderation.review.budgets import (
    BudgetLeft,
    begin_exposure,
    budget_left,
    end_exposures,
    extend_exposure,
    lock_reviewer,
)
from moderation.review.models import FinalDecision, Reviewer, Verdict
from moderation.review.reviewers import people_who_review
from moderation.review.transitions import VerdictStatus
from moderation.rights import ModerationRight
from registry.access.policies import actor_from_user
from registry.errors import Conflict, Invalid, NotAllowed, StaleState
from registry.kit.actors import Actor, Source
from registry.kit.text import MAX_REASON, checked_line
from registry.record.audit import record_change

LEASE = timedelta(minutes=5)
_FOR_ANYBODY: Mapping[str, None] = {"assigned_to_id": None, "on_hold_until": None}
LONGEST_HOLD = timedelta(days=14)
SKIPS_THAT_ESCALATE = 3
# Of the most urgent cases, as several reviewers take cases at the same moment; and how often the next ones are looked at.
_TRIED, _ROUNDS = 20, 50


@transaction.atomic
def take_next(*, queue: ReviewQueue | None, by: Actor) -> Case | None:
    """Take the most urgent case of a queue, or of all; what the person already has comes first. None: nothing waits for them.

    Raises BudgetSpent when the person has seen enough for today.
    """
    by.check(ModerationRight.LEAD if queue is not None and queue.takes_escalated else ModerationRight.REVIEW)
    reviewer, now = lock_reviewer(person_of(by)), timezone.now()
    mine = _visible(waiting_cases(), by).filter(claimed_by=reviewer.user_id, claimed_until__gt=now)
    if (case := mine.order_by("claimed_until").first()) is not None:  # in an order that keeps to the index
        return case
    end_exposures(reviewer, now)
    left = budget_left(reviewer, now)
    if left.is_spent:
        raise BudgetSpent(
            f"You have looked at contents for {left.minutes_a_day} minutes today, which is your budget."
            " Take a break; a lead can change it."
        )
    _drop_claims(reviewer)  # a lease that has run out; its case is everybody's
    cases = free_cases(by, now, left)
    assigned = cases.filter(assigned_to=reviewer.user_id)
    return _claim_first(assigned, reviewer, left, now) or _claim_first(
        cases.filter(_wanted(queue, by), _read_by(reviewer), _for_anybody(now)), reviewer, left, now
    )


def _wanted(queue: ReviewQueue | None, by: Actor) -> Q:
    if queue is not None:
        return cases_of(queue)
    return cases_without_queue(is_lead=ModerationRight.LEAD in by.rights)


def _read_by(reviewer: Reviewer) -> Q:
    """Contents in the reviewer's languages, or in an unknown one."""
    return Q(language__in=[*reviewer.languages, ""]) if reviewer.languages else Q()


def _for_anybody(now: datetime) -> Q:
    """Overdue ones are, too: whoever they were for may be away."""
    return Q(assigned_to=None) | Q(due_at__lte=now)


def _claim_first(cases: QuerySet[Case], reviewer: Reviewer, left: BudgetLeft, now: datetime) -> Case | None:
    """Claim the most urgent one. Those that other people claim at this moment, or that are withdrawn, are no longer there."""
    for _ in range(_ROUNDS):
        # Ids alone are sorted faster than thousands of rows.
        tried = list(by_urgency(cases, now).values_list("pk", flat=True)[:_TRIED])
        rows = Case.objects.in_bulk(tried)
        for case in (rows[case_id] for case_id in tried if case_id in rows):
            if (
                not _withdraw_if_superseded(case)
                and not _has_decided_before(case, reviewer.user_id)
                and _claim(case, reviewer, left, now)
            ):
                return case
        if len(tried) < _TRIED:
            break
    return None


@transaction.atomic
def take(*, case: Case, by: Actor) -> Case:
    """Take this case. Raises Conflict if another person has it, AlreadyDecided, BudgetSpent, or NotAllowed."""
    by.check(ModerationRight.REVIEW)
    reviewer, now = lock_reviewer(person_of(by)), timezone.now()
    case.refresh_from_db()
    check_may_decide(case, by)
    _check_assignment(case, by, now)
    if case.claimed_by_id == reviewer.user_id and case.claimed_until and case.claimed_until > now:
        return case
    end_exposures(reviewer, now)
    _drop_claims(reviewer)
    left = budget_left(reviewer, now)
    if left.is_spent:
        raise BudgetSpent
    if case.harm >= SEVERE and left.severe <= 0:
        raise BudgetSpent(
            f"You have seen {left.severe_a_day} severe contents today, which is your budget. Take another case."
        )
    if not _claim(case, reviewer, left, now):
        raise why_not_mine(case, f"Another person is looking at {case}.")
    return case


@transaction.atomic
def keep(*, case: Case, by: Actor) -> datetime:
    """Keep a case that one has for another while; return until when. Raises StaleState if another person has it now."""
    by.check(ModerationRight.REVIEW)
    reviewer, now = lock_reviewer(person_of(by)), timezone.now()
    # What the running look may take is already counted, so it can be used again.
    running = reviewer.exposures.filter(case=case, ended_at=None).first()
    left = budget_left(reviewer, now).time
    if running is not None:
        left += running.may_last_until - now
    until = now + min(LEASE, max(timedelta(), left))
    mine = waiting_cases().filter(pk=case.pk, claimed_by=reviewer.user_id, claimed_until__gt=now)
    if not mine.update(claimed_until=until):
        raise why_not_mine(case)
    case.refresh_from_db(fields=["harm"])
    extend_exposure(reviewer, case, until)
    return until


@transaction.atomic
def put_back(*, case: Case, by: Actor) -> None:
    """Give the case back to its queue, for anybody."""
    _pass_on(case, by, **_FOR_ANYBODY)


@transaction.atomic
def skip(*, case: Case, by: Actor) -> None:
    """Leave the case to others. When three people have skipped it, it is escalated."""
    _pass_on(case, by, **_FOR_ANYBODY)
    case.skipped_by.add(person_of(by))
    skips = case.skipped_by.count()
    if skips >= min(SKIPS_THAT_ESCALATE, len(people_who_review())):
        passed = Case.objects.filter(pk=case.pk, is_escalated=False)
        if passed.update(is_escalated=True, note=f"Skipped by {skips} people."):
            case.skipped_by.clear()  # a lead among them gets it all the same


@transaction.atomic
def hold(*, case: Case, until: datetime, note: str, by: Actor) -> None:
    """Set the case aside for oneself until then, for instance to wait for an answer."""
    now = timezone.now()
    if timezone.is_naive(until):
        raise Invalid("Say until when with a time zone.")
    if not now < until <= now + LONGEST_HOLD:
        raise Invalid(f"A case can be held for at most {LONGEST_HOLD.days} days, from now on.")
    note = _checked_note(note)
    _pass_on(case, by, assigned_to_id=person_of(by), on_hold_until=until, note=note)


@transaction.atomic
def hand_over(*, case: Case, to: User, note: str, by: Actor) -> None:
    """Give the case to another reviewer, who gets it next. Raises Conflict if that person could not decide it."""
    note = _checked_note(note)
    if to.pk == by.user_id:
        raise Invalid("The case is already yours.")
    case.refresh_from_db()
    try:
        check_may_decide(case, actor_from_user(to, Source.ADMIN))
    except NotAllowed:
        raise Conflict(
            f"{to} may not decide this case: they lack the right, or decided before what it is about."
        ) from None
    case.skipped_by.remove(to)
    _pass_on(case, by, assigned_to_id=to.pk, on_hold_until=None, note=note)


@transaction.atomic
def escalate(*, case: Case, note: str, by: Actor) -> None:
    """Leave the case to a lead."""
    note = _checked_note(note)
    _pass_on(case, by, is_escalated=True, note=note, **_FOR_ANYBODY)
    case.skipped_by.clear()  # a lead among them gets it all the same


@transaction.atomic
def set_legal_hold(*, case: Case, is_held: bool, reason: str, by: Actor) -> None:
    """Keep the case's contents whatever retention and erasure say, or stop keeping them."""
    by.check(ModerationRight.LEAD)
    if case.is_restricted:
        by.check(ModerationRight.SEE_RESTRICTED)
    reason = checked_line(reason, what="reason", longest=MAX_REASON)
    if not Case.objects.filter(pk=case.pk, is_on_legal_hold=not is_held).update(is_on_legal_hold=is_held):
        raise StaleState
    # Retention looks again once it has these: either it sees the hold, or its contents went before.
    contents = Decision.objects.select_for_update(of=("self",)).filter(case_items__case=case)
    list(contents.order_by("pk").values_list("pk"))
    record_change(
        action="set_legal_hold",
        subject=case,
        before={"legal_hold": not is_held},
        after={"legal_hold": is_held},
        reason=reason,
        by=by,
    )


def free_cases(by: Actor, now: datetime, left: BudgetLeft) -> QuerySet[Case]:
    """The waiting cases that this person could take now."""
    # Asked for first: they are few, while each waiting case would be joined with them.
    # Overdue and escalated ones are offered again: nobody else may be left.
    skipped = waiting_cases().filter(skipped_by=by.user_id, due_at__gt=now, is_escalated=False)
    not_theirs = waiting_cases().filter(not_for=by.user_id), skipped
    ids = [pk for cases in not_theirs for pk in cases.values_list("pk", flat=True)]
    free = _visible(waiting_cases().exclude(pk__in=ids), by).filter(
        Q(claimed_until=None) | Q(claimed_until__lte=now),
        Q(on_hold_until=None) | Q(on_hold_until__lte=now),
    )
    if left.severe <= 0:
        free = free.filter(harm__lt=SEVERE)
    return free


def check_may_decide(case: Case, by: Actor) -> None:
    """Raise NotAllowed if this person must not decide the case."""
    by.check(ModerationRight.REVIEW)
    if case.is_restricted:
        by.check(ModerationRight.SEE_RESTRICTED)
    if case.is_escalated:
        by.check(ModerationRight.LEAD)
    if case.not_for.filter(pk=person_of(by)).exists() or _has_decided_before(case, person_of(by)):
        raise NotAllowed("You decided before what this case is about, so another person has to decide it.")


def _has_decided_before(case: Case, user_id: int) -> bool:
    """Whether a case that looks again is about contents that this person decided, perhaps as they were sent before.

    So is a report of a content about which an appeal was decided.
    """
    if case.source not in (*LOOKS_AGAIN, CaseSource.REPORT):
        return False
    for decision in Decision.objects.filter(case_items__case=case, case_items__is_withdrawn=False)[:_TRIED]:
        contents = same_content(decision).values("pk")
        appealed = FinalDecision.objects.filter(decision__in=contents, source=CaseSource.APPEAL)
        if case.source in LOOKS_AGAIN or appealed.exists():
            verdicts = Verdict.objects.filter(reviewer=user_id, case__items__decision__in=contents)
            if verdicts.exclude(status=VerdictStatus.UNDONE).exclude(case=case).exists():
                return True
    return False


def _visible(cases: QuerySet[Case], by: Actor) -> QuerySet[Case]:
    return visible_cases(cases, by)


def _claim(case: Case, reviewer: Reviewer, left: BudgetLeft, now: datetime) -> bool:
    until = now + min(LEASE, left.time)
    # As it was looked at: a report may have made it severe or restricted since.
    free = waiting_cases().filter(
        Q(claimed_until=None) | Q(claimed_until__lte=now),
        pk=case.pk,
        harm=case.harm,
        is_restricted=case.is_restricted,
        is_escalated=case.is_escalated,
    )
    if not free.update(claimed_by=reviewer.user_id, claimed_until=until):
        return False
    case.claimed_by_id, case.claimed_until = reviewer.user_id, until
    begin_exposure(reviewer, case, now, until)
    return True


def _drop_claims(reviewer: Reviewer) -> None:
    waiting_cases().filter(claimed_by=reviewer.user_id).update(claimed_by=None, claimed_until=None)


def _pass_on(case: Case, by: Actor, **columns: object) -> None:
    """End one's look at a case. Leads may also pass on cases that nobody has."""
    by.check(ModerationRight.REVIEW)
    reviewer, now = lock_reviewer(person_of(by)), timezone.now()
    case_row = _visible(waiting_cases(), by).filter(pk=case.pk)
    if case_row.filter(claimed_by=reviewer.user_id).update(claimed_by=None, claimed_until=None, **columns):
        end_exposures(reviewer, now)
        return
    free = case_row.filter(Q(claimed_until=None) | Q(claimed_until__lte=now))
    is_lead = ModerationRight.LEAD in by.rights
    if not is_lead or not free.update(claimed_by=None, claimed_until=None, **columns):
        raise why_not_mine(case)


def why_not_mine(case: Case, otherwise: str = "") -> Conflict:
    """Why somebody cannot go on with a case: what another person decided, or that somebody else has it."""
    first = Verdict.objects.filter(case=case.pk).exclude(status=VerdictStatus.UNDONE).first()
    if first is not None:
        return AlreadyDecided.by_person(first.reviewer_name, str(first.action), first.codes)
    return StaleState(otherwise or f"{case} is not yours any more; take the next one.".capitalize())


def _check_assignment(case: Case, by: Actor, now: datetime) -> None:
    """Raise Conflict while the case is set aside for somebody else. Leads may take it all the same."""
    is_for_another = case.assigned_to_id not in (None, by.user_id)
    is_on_hold = case.on_hold_until is not None and case.on_hold_until > now
    if is_for_another and (is_on_hold or case.due_at > now) and ModerationRight.LEAD not in by.rights:
        raise Conflict(f"{case} was given to {case.assigned_to}; take another one.".capitalize())


def _withdraw_if_superseded(case: Case) -> bool:
    """Whether all its contents were changed by their authors since, so that nobody needs to look."""
    old = Decision.objects.filter(case_items__case=case, case_items__is_withdrawn=False).filter(
        newer_decisions()
    )
    if not old.exists():
        return False
    withdraw_cases(old)
    return not waiting_cases().filter(pk=case.pk).exists()


def _checked_note(note: str) -> str:
    return checked_line(note, what="note", longest=MAX_REASON)


def person_of(by: Actor) -> int:
    if by.user_id is None:
        raise NotAllowed("Only a person can review; log in.")
    return by.user_id
