"""Verdicts: what a person decides about a case, and can undo for a few seconds."""

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from moderation.cases.models import LOOKS_AGAIN, MAX_CODE, Case
from moderation.cases.selectors import waiting_cases
from moderation.cases.transitions import CaseStatus
from moderation.deciding.models import Decision
from moderation.errors import BudgetSpent
from moderation.policies.rules import Ruling
from moderation.review.budgets import end_exposures, lock_reviewer
from moderation.review.models import Effect, ReviewAction, Verdict
from moderation.review.taking import check_may_decide, person_of, take, why_not_mine
from moderation.review.transitions import VerdictStatus
from moderation.rights import ModerationRight
from registry.access.policies import rights_of_roles, role_names
from registry.errors import Conflict, Invalid, NotAllowed, StaleState
from registry.kit.actors import Actor
from registry.kit.text import MAX_REASON, checked_line, storable

UNDO_FOR = timedelta(seconds=10)
MOST_CODES = 10
VIOLATION_CODE = re.compile(rf"[a-z0-9][a-z0-9_-]{{0,{MAX_CODE - 1}}}")


@transaction.atomic
def give_verdict(
    *,
    case: Case,
    action: ReviewAction,
    codes: Sequence[str] = (),
    note: str = "",
    seconds: float | None = None,
    by: Actor,
) -> Verdict:
    """Decide a case that one has. It becomes final in ten seconds, unless it is undone.

    `codes`: the violations; none: the case's own. `seconds`: for how long the person really looked. Raises AlreadyDecided
    with what was decided, if another person did.
    """
    check_may_decide(case, by)
    _check_action(action, by)
    ruling = Ruling.BLOCK if Effect(action.effect).restricts else Ruling.ALLOW
    violations = _checked_codes(case, codes) if ruling is Ruling.BLOCK else []
    note = checked_line(note, what="note", longest=MAX_REASON, may_be_empty=True)
    reviewer, now = lock_reviewer(person_of(by)), timezone.now()
    # As it was checked: a report may have made it restricted, or somebody escalated it, in the meantime.
    mine = waiting_cases().filter(
        pk=case.pk,
        claimed_by=reviewer.user_id,
        claimed_until__gt=now,
        is_restricted=case.is_restricted,
        is_escalated=case.is_escalated,
    )
    if not mine.update(status=CaseStatus.DECIDED, claimed_by=None, claimed_until=None):
        raise why_not_mine(case)
    _take_from_detectors(case)
    _keep_from_looking_again(case, reviewer.user_id)
    seen = end_exposures(reviewer, now)
    try:
        with transaction.atomic():
            return Verdict.objects.create(
                case=case,
                reviewer_id=reviewer.user_id,
                reviewer_name=storable(by.name, 200),
                action=action,
                ruling=ruling,
                codes=violations,
                note=note,
                seconds=seen if seconds is None else min(seen, max(0.0, seconds)),
                made_at=now,
                final_at=now + UNDO_FOR,
            )
    except IntegrityError:
        raise why_not_mine(case) from None


def decide_many(
    *, cases: Sequence[Case], action: ReviewAction, codes: Sequence[str] = (), note: str = "", by: Actor
) -> tuple[list[Verdict], list[str]]:
    """Give the same verdict on several cases; return the verdicts, and why some cases got none.

    A case that the person has open stays theirs, unless it is one of these.
    """
    verdicts, refused = [], []
    open_ones = waiting_cases().filter(claimed_by=by.user_id, claimed_until__gt=timezone.now())
    open_case = open_ones.exclude(pk__in=[case.pk for case in cases]).first()
    for case in cases:
        try:
            with transaction.atomic():
                taken = take(case=case, by=by)
                verdicts.append(give_verdict(case=taken, action=action, codes=codes, note=note, by=by))
        except (Conflict, NotAllowed, Invalid) as error:
            refused.append(f"{case}: {error}")
    if open_case is not None:
        with suppress(Conflict, NotAllowed):
            take(case=open_case, by=by)
    return verdicts, refused


@transaction.atomic
def undo_verdict(*, verdict: Verdict, by: Actor) -> Case:
    """Take back one's own verdict within ten seconds.

    The case is one's again; if one's budget does not allow another look, it waits for others.
    """
    by.check(ModerationRight.REVIEW)
    own = Verdict.objects.filter(pk=verdict.pk, reviewer=person_of(by), status=VerdictStatus.PENDING)
    if not own.filter(final_at__gt=timezone.now()).update(status=VerdictStatus.UNDONE):
        raise StaleState("The verdict is final, so it cannot be undone. A lead can open the case again.")
    case = verdict.case
    if not Case.objects.filter(pk=case.pk, status=CaseStatus.DECIDED).update(status=CaseStatus.WAITING):
        raise StaleState
    case.refresh_from_db()
    try:
        with transaction.atomic():
            return take(case=case, by=by)
    except (BudgetSpent, NotAllowed):
        return case


def actions_for(by: Actor) -> list[ReviewAction]:
    """What this person may decide."""
    actions = ReviewAction.objects.filter(is_retired=False)
    return [action for action in actions if not action.is_on_account and _may_take(action, by)]


def _check_action(action: ReviewAction, by: Actor) -> None:
    if action.is_retired or action.is_on_account:
        raise Invalid(f"“{action}” cannot be a verdict.")
    if not _may_take(action, by):
        raise NotAllowed(f"“{action}” is for {', '.join(action.roles)}; escalate the case.")


def _may_take(action: ReviewAction, by: Actor) -> bool:
    """Whether the person holds all rights of one of the roles that may take it."""
    return not action.roles or any(
        role in role_names() and rights_of_roles([role]) <= by.rights for role in action.roles
    )


def _checked_codes(case: Case, codes: Sequence[str]) -> list[str]:
    wanted = list(dict.fromkeys(codes)) or ([case.code] if case.code else [])
    if not wanted:
        raise Invalid("Say which violation it is.")
    if len(wanted) > MOST_CODES:
        raise Invalid(f"A verdict may name at most {MOST_CODES} violations.")
    for code in wanted:
        if not VIOLATION_CODE.fullmatch(code):
            raise Invalid(f"{code[:80]!r} is no violation code.")
    return wanted


def _keep_from_looking_again(case: Case, user_id: int) -> None:
    """Appeals and second reviews of these contents, if they wait already, are for somebody else."""
    contents = case.items.filter(is_withdrawn=False).values("decision")
    again = waiting_cases().filter(source__in=LOOKS_AGAIN, items__decision__in=contents).exclude(pk=case.pk)
    for other in again.distinct():
        other.not_for.add(user_id)


def _take_from_detectors(case: Case) -> None:
    """From now on a person decides about contents that waited for a detector."""
    contents = Decision.objects.filter(case_items__case=case, case_items__is_withdrawn=False)
    ids = list(contents.values_list("pk", flat=True))
    Decision.objects.filter(pk__in=ids, is_held=True).update(is_held=False, next_try_at=None)
    if Decision.objects.filter(redecides__in=ids).exists():
        raise StaleState("The detector is back and has decided this content by itself.")
