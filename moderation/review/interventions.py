"""What leads do with cases that other people have or have passed on."""

from django.db import transaction
from django.db.models import Q

from moderation.cases.models import Case, CaseSource
from moderation.cases.selectors import visible_cases, waiting_cases
from moderation.rights import ModerationRight
from registry.errors import StaleState
from registry.kit.actors import Actor
from registry.kit.text import MAX_REASON, checked_line
from registry.record.audit import record_change


@transaction.atomic
def return_to_queue(*, case: Case, reason: str, by: Actor) -> None:
    """End somebody's look at a case, or their hold, so that everybody can get it again."""
    had = Q(claimed_by__isnull=False) | Q(assigned_to__isnull=False)
    _change(
        case,
        "return_to_queue",
        reason,
        by,
        had,
        claimed_by=None,
        claimed_until=None,
        assigned_to=None,
        on_hold_until=None,
    )


@transaction.atomic
def end_escalation(*, case: Case, reason: str, by: Actor) -> None:
    """Give an escalated case back to the reviewers, without those who skipped it getting it again."""
    fits = Q(is_escalated=True) & ~Q(source=CaseSource.DISAGREEMENT)  # which only leads decide
    _change(case, "end_escalation", reason, by, fits, is_escalated=False)


def _change(case: Case, action: str, reason: str, by: Actor, fits: Q, **columns: object) -> None:
    by.check(ModerationRight.LEAD)
    reason = checked_line(reason, what="reason", longest=MAX_REASON)
    rows = visible_cases(waiting_cases(), by).filter(fits, pk=case.pk)
    before = rows.values("assigned_to__username", "claimed_by__username", "is_escalated").first()
    if before is None or not rows.update(note=reason, **columns):
        raise StaleState(f"{case} is in its queue already, or decided; reload the page.".capitalize())
    record_change(
        action=action,
        subject=case,
        before={
            "had_by": before["claimed_by__username"] or before["assigned_to__username"],
            "escalated": before["is_escalated"],
        },
        after=None,
        reason=reason,
        by=by,
    )
