"""Logins that too many wrong passwords have locked."""

from axes.models import AccessAttempt
from django.db import transaction

from registry.access.policies import Right
from registry.kit.actors import Actor
from registry.record.audit import Subject, record_change


@transaction.atomic
def unlock_login(*, attempt: AccessAttempt, by: Actor) -> None:
    """Forget the failures of this name at this address, so that its owner may try again now."""
    by.check(Right.MANAGE_PEOPLE)
    name, failures = attempt.username or "", attempt.failures_since_start
    attempt.delete()
    subject = Subject(kind="login", id=name, label=f"{name} from {attempt.ip_address}")
    record_change(action="unlock_login", subject=subject, before={"failures": failures}, after=None, by=by)
