"""Which creating requests were seen, and what they were answered. Judged by the database's clock."""

import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import DateTimeField, DurationField, ExpressionWrapper, Q, Value
from django.db.models.functions import Now

from registry.errors import IdempotencyInFlight, IdempotencyMismatch
from registry.kit.api.models import IdempotencyRecord

LEASE = timedelta(seconds=60)
KEPT = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request was answered, in a form that can be kept."""

    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to run one request; whoever lets it run out loses what it did."""

    record_id: int
    runner: str

    def finish(self, answer: Answer) -> None:
        """Keep the answer. Call it in the transaction that did the work: both hold, or neither."""
        mine = IdempotencyRecord.objects.filter(pk=self.record_id, runner=self.runner, status=None)
        if not mine.update(status=answer.status, headers=answer.headers, body=answer.body):
            raise IdempotencyInFlight

    def release(self) -> None:
        """Let the next attempt run at once."""
        IdempotencyRecord.objects.filter(pk=self.record_id, runner=self.runner, status=None).delete()


def claim(*, principal: str, key: str, fingerprint: str) -> Claim | Answer:
    """Return the right to run the request, or the answer it had; refuse what runs now or is another request.

    1. A key nobody used is ours by the unique constraint.
    2. One that has expired, or whose runner went silent, is taken over by a conditional update.
    """
    runner = uuid.uuid4().hex
    fresh = {
        "fingerprint": fingerprint,
        "runner": runner,
        "leased_until": _in(LEASE),
        "expires_at": _in(KEPT),
    }
    try:
        with transaction.atomic():
            return Claim(IdempotencyRecord.objects.create(principal=principal, key=key, **fresh).pk, runner)
    except IntegrityError:
        pass  # seen before
    seen = IdempotencyRecord.objects.filter(principal=principal, key=key)
    over = Q(expires_at__lte=Now())
    lost = Q(status=None, leased_until__lte=Now(), fingerprint=fingerprint)
    if seen.filter(over | lost).update(**fresh, status=None, headers={}, body=""):
        return Claim(seen.get().pk, runner)
    record = seen.first()
    if record is None:
        raise IdempotencyInFlight  # its runner gave up just now
    if record.fingerprint != fingerprint:
        raise IdempotencyMismatch
    if record.status is None:
        raise IdempotencyInFlight
    return Answer(record.status, record.body, record.headers)


def sweep() -> int:
    """Delete what has expired."""
    deleted, _ = IdempotencyRecord.objects.filter(expires_at__lte=Now()).delete()
    return deleted


def _in(span: timedelta) -> "ExpressionWrapper[Any]":
    return ExpressionWrapper(Now() + Value(span, output_field=DurationField()), output_field=DateTimeField())
