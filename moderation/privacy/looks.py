"""Looks of people at restricted contents, which the audit chain keeps."""

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from moderation.cases.models import Case, CaseItem
from moderation.cases.selectors import restricted_decisions
from moderation.deciding.models import Decision
from moderation.rights import ModerationRight
from registry.kit.actors import Actor
from registry.record.audit import AuditSubject, record_change, subject_of
from registry.record.models import AuditRecord

_ONE_LOOK = timedelta(minutes=10)  # in which the same person's pages and pictures are one


def record_look(*, case: Case, by: Actor) -> bool:
    """Record that a person is shown a restricted case; False if it is not restricted, or was recorded a moment ago."""
    return case.is_restricted and _record(subject_of(case), by)


def record_look_at_decision(*, decision: Decision, by: Actor) -> bool:
    """The same for the page of a decision, and for its pictures. Whoever may not see restricted contents is not shown it."""
    if ModerationRight.SEE_RESTRICTED not in by.rights:
        return False
    return record_looks(decisions=[decision.pk], by=by) > 0


def record_looks(*, decisions: Collection[UUID], by: Actor) -> int:
    """The same for contents that are shown beside another, as in a conversation; return how many looks were recorded.

    A look is recorded at the restricted cases of a content, or at its decision if it is in none.
    """
    cases = Case.objects.filter(is_restricted=True, items__decision__in=decisions).distinct().order_by("pk")
    in_no_case = Decision.objects.filter(restricted_decisions(), pk__in=decisions).exclude(
        Exists(CaseItem.objects.filter(decision=OuterRef("pk"), case__is_restricted=True))
    )
    subjects = [subject_of(case) for case in cases]
    subjects += [
        AuditSubject("decision", str(decision.pk), f"decision {decision.request_id}")
        for decision in in_no_case.only("pk").order_by("pk")
    ]
    return sum(_record(subject, by) for subject in subjects)


@transaction.atomic
def _record(subject: AuditSubject, by: Actor) -> bool:
    looks = AuditRecord.objects.filter(
        object_id=subject.id,
        object_kind=subject.kind,
        action="look_at_restricted",
        at__gt=timezone.now() - _ONE_LOOK,
    )
    if looks.filter(user_id=by.user_id, key_id=by.key_id).exists():
        return False
    record_change(action="look_at_restricted", subject=subject, before=None, after=None, by=by)
    return True
