"""Bringing events to their subscriptions: claim, send once, note how it went, try again later."""

import time
from datetime import timedelta

import structlog
from django.db.models import F
from django.utils import timezone

from registry.errors import Conflict
from registry.kit.actors import Actor
from registry.record import channels, dispatch
from registry.record.channels import Outcome
from registry.record.models import Delivery
from registry.record.subscriptions import RIGHT

log = structlog.get_logger("registry.record")

# How long after the first, second … failed attempt the next one is made; none after the last.
BACK_OFF = tuple(
    timedelta(seconds=seconds) for seconds in (10, 60, 300, 1_800, 7_200, 21_600, 43_200, 86_400)
)
# A sender that has not come back after this is taken for dead; longer than any fetch or mail may take.
_SENDING_AT_MOST = timedelta(seconds=60)
_SWEEP_AT_MOST = 500
_OPEN = (Delivery.Status.WAITING, Delivery.Status.SENDING)


def deliver(delivery_id: int) -> bool:
    """Make the next attempt, if it is due and nobody else makes it; return whether it was made."""
    delivery = _claim(delivery_id)
    if delivery is None:
        return False
    began = time.monotonic()
    outcome = channels.send(delivery)
    _note(delivery, outcome, took_ms=int((time.monotonic() - began) * 1000))
    return True


def sweep() -> int:
    """Start whatever is due: retries, senders that died, messages that a broker lost. Return how many."""
    due = Delivery.objects.filter(status__in=_OPEN, due_at__lte=timezone.now()).order_by("due_at")
    found = list(due.values_list("pk", flat=True)[:_SWEEP_AT_MOST])
    for delivery_id in found:
        dispatch.deliver(delivery_id)
    return len(found)


def resend(delivery: Delivery, *, by: Actor) -> Delivery:
    """Make one more attempt of what was delivered or given up. Receivers see the same webhook-id."""
    by.check(RIGHT)
    over = (Delivery.Status.DELIVERED, Delivery.Status.FAILED)
    changed = Delivery.objects.filter(pk=delivery.pk, status__in=over).update(
        status=Delivery.Status.WAITING, due_at=timezone.now(), ended_at=None
    )
    if not changed:
        raise Conflict(f"Delivery {delivery.pk} is still under way; it is sent again by itself if it fails.")
    dispatch.deliver(delivery.pk)
    delivery.refresh_from_db()
    return delivery


def _claim(delivery_id: int) -> Delivery | None:
    """Count an attempt as ours. Of two that read the same number of attempts, one update finds its row."""
    now = timezone.now()
    due = Delivery.objects.filter(pk=delivery_id, status__in=_OPEN, due_at__lte=now)
    attempts = due.values_list("attempts", flat=True).first()
    if attempts is None:
        return None
    claimed = due.filter(attempts=attempts).update(
        status=Delivery.Status.SENDING, attempts=F("attempts") + 1, due_at=now + _SENDING_AT_MOST
    )
    if not claimed:
        return None
    return Delivery.objects.select_related("event", "subscription").get(pk=delivery_id)


def _note(delivery: Delivery, outcome: Outcome, *, took_ms: int) -> None:
    now = timezone.now()
    retry = outcome.error and not outcome.is_final and delivery.attempts <= len(BACK_OFF)
    status = Delivery.Status.WAITING if retry else Delivery.Status.FAILED
    # Only while the attempt is still ours: who took us for dead has begun another.
    Delivery.objects.filter(
        pk=delivery.pk, attempts=delivery.attempts, status=Delivery.Status.SENDING
    ).update(
        status=status if outcome.error else Delivery.Status.DELIVERED,
        due_at=now + BACK_OFF[delivery.attempts - 1] if retry else now,
        ended_at=None if retry else now,
        last_error=outcome.error[:300],
        http_status=outcome.http_status,
        response_ms=took_ms,
    )
    if outcome.error:
        log.warning("delivery failed", delivery=delivery.pk, attempt=delivery.attempts, error=outcome.error)
