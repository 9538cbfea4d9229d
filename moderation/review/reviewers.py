"""What reviewers may be exposed to on a day."""

from collections.abc import Sequence

from django.contrib.auth.models import User
from django.db import transaction

from moderation.cases.languages import check_language
from moderation.review.models import Reviewer
from moderation.rights import ModerationRight
from registry.access.policies import roles_with
from registry.errors import Invalid
from registry.kit.actors import Actor
from registry.record.audit import record_change

MOST_MINUTES, MOST_SEVERE = 24 * 60, 10_000


def people_who_review() -> list[User]:
    """Everybody who may take cases, by name."""
    people = User.objects.filter(is_active=True)
    holders = people.filter(groups__name__in=roles_with(ModerationRight.REVIEW)) | people.filter(
        is_superuser=True
    )
    return list(holders.distinct().order_by("username"))


@transaction.atomic
def set_reviewer(
    *, user_id: int, minutes_a_day: int, severe_a_day: int, languages: Sequence[str] = (), by: Actor
) -> Reviewer:
    """Set a person's budgets and languages. What they saw today counts against the new budgets at once."""
    by.check(ModerationRight.LEAD)
    if not 0 <= minutes_a_day <= MOST_MINUTES:
        raise Invalid(f"The minutes in a day are from 0 to {MOST_MINUTES:,}.")
    if not 0 <= severe_a_day <= MOST_SEVERE:
        raise Invalid(f"The severe contents in a day are from 0 to {MOST_SEVERE:,}.")
    for language in languages:
        check_language(language)
    reviewer, is_new = Reviewer.objects.get_or_create(user_id=user_id)
    row = Reviewer.objects.select_for_update(of=("self",)).select_related("user").get(pk=reviewer.pk)
    before = None if is_new else _audit_fields(row)
    row.minutes_a_day, row.severe_a_day, row.languages = minutes_a_day, severe_a_day, sorted(set(languages))
    row.save(update_fields=["minutes_a_day", "severe_a_day", "languages"])
    record_change(action="set_reviewer", subject=row, before=before, after=_audit_fields(row), by=by)
    return row


def _audit_fields(reviewer: Reviewer) -> dict[str, object]:
    return {
        "minutes_a_day": reviewer.minutes_a_day,
        "severe_a_day": reviewer.severe_a_day,
        "languages": reviewer.languages,
    }
