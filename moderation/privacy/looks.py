"""Looks of people at restricted contents, which the audit chain keeps."""

from datetime import timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from moderation.cases.models import Case, CaseItem, Guideline
from moderation.deciding.models import Decision
from registry.kit.actors import Actor
from registry.record.audit import AuditSubject, record_change, subject_of
from registry.record.models import AuditRecord

LOOK = "look_at_restricted"
_ONE_LOOK = timedelta(minutes=10)  # in which the same person's pages and pictures are one


def record_look(*, case: Case, by: Actor) -> bool:
    """Record that a person is shown a restricted case; False if it is not restricted, or was recorded a moment ago."""
    return case.is_restricted and _record(subject_of(case), by)


def record_look_at_decision(*, decision: Decision, by: Actor) -> bool:
    """The same for the page of a decision, and for its pictures."""
    case = restricting_case(decision)
    if case is not None:
        return _record(subject_of(case), by)
    subject = AuditSubject("decision", str(decision.pk), f"decision {decision.request_id}")
    return is_restricted(decision) and _record(subject, by)


def is_restricted(decision: Decision) -> bool:
    """Whether only people with the right to see restricted contents may see this one."""
    restricting = Guideline.objects.filter(code__in=decision.codes, is_restricted=True)
    return restricting.exists() or restricting_case(decision) is not None


def restricting_case(decision: Decision) -> Case | None:
    """The newest restricted case that the content is, or was, in."""
    items: QuerySet[CaseItem] = CaseItem.objects.filter(decision=decision, case__is_restricted=True)
    newest = items.select_related("case").order_by("-case").first()
    return newest.case if newest is not None else None


@transaction.atomic
def _record(subject: AuditSubject, by: Actor) -> bool:
    looks = AuditRecord.objects.filter(
        object_id=subject.id, object_kind=subject.kind, action=LOOK, at__gt=timezone.now() - _ONE_LOOK
    )
    if looks.filter(user_id=by.user_id, key_id=by.key_id).exists():
        return False
    record_change(action=LOOK, subject=subject, before=None, after=None, by=by)
    return True
