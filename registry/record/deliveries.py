"""Deliveries of events: claim one, send it, write the result, and retry later."""

import time
from datetime import timedelta

import structlog
from django.db.models import F
from django.utils import timezone

from registry.errors import Conflict
from registry.kit.actors import Actor
from registry.record import channels, events
from registry.record.channels import SendResult
from registry.record.models import Delivery
from registry.record.subscriptions import RIGHT

log = structlog.get_logger("registry.record")

# The pause after each failed attempt: the first, the second, and so on. The last attempt is not retried.
BACK_OFF = tuple(
    timedelta(seconds=seconds) for seconds in (10, 60, 300, 1_800, 7_200, 21_600, 43_200, 86_400)
)
# A sender counts as dead after this; no fetch or mail may take that long.
_MAX_SENDING = timedelta(seconds=60)
_MAX_SWEPT = 500
_OPEN = (Delivery.Status.WAITING, Delivery.Status.SENDING)


def deliver(delivery_id: int) -> bool:
    """Make the next attempt if it is due and no other sender has claimed it; return whether it was made."""
    delivery = _claim(delivery_id)
    if delivery is None:
        return False
    began = time.monotonic()
    result = channels.send(delivery)
    _write_result(delivery, result, took_ms=int((time.monotonic() - began) * 1000))
    return True


def sweep() -> int:
    """Start all due deliveries: retries, those of dead senders, messages lost by a broker. Return how many."""
    due = Delivery.objects.filter(status__in=_OPEN, due_at__lte=timezone.now()).order_by("due_at")
    ids = list(due.values_list("pk", flat=True)[:_MAX_SWEPT])
    for delivery_id in ids:
        events.send_on_commit(delivery_id)
    return len(ids)


def resend(delivery: Delivery, *, by: Actor) -> Delivery:
    """Send a finished delivery again. Receivers see the same webhook-id."""
    by.check(RIGHT)
    ended = (Delivery.Status.DELIVERED, Delivery.Status.FAILED)
    changed = Delivery.objects.filter(pk=delivery.pk, status__in=ended).update(
        status=Delivery.Status.WAITING, due_at=timezone.now(), ended_at=None
    )
    if not changed:
        raise Conflict(
            f"Delivery {delivery.pk} is still being sent; it is retried automatically if it fails."
        )
    events.send_on_commit(delivery.pk)
    delivery.refresh_from_db()
    return delivery


def _claim(delivery_id: int) -> Delivery | None:
    """Claim the next attempt. Of two senders that read the same number of attempts, only one updates the row."""
    now = timezone.now()
    due = Delivery.objects.filter(pk=delivery_id, status__in=_OPEN, due_at__lte=now)
    attempts = due.values_list("attempts", flat=True).first()
    if attempts is None:
        return None
    claimed = due.filter(attempts=attempts).update(
        status=Delivery.Status.SENDING, attempts=F("attempts") + 1, due_at=now + _MAX_SENDING
    )
    if not claimed:
        return None
    return Delivery.objects.select_related("event", "subscription").get(pk=delivery_id)


def _write_result(delivery: Delivery, result: SendResult, *, took_ms: int) -> None:
    now = timezone.now()
    retry = result.error and not result.is_final and delivery.attempts <= len(BACK_OFF)
    status = Delivery.Status.WAITING if retry else Delivery.Status.FAILED
    # Only if the attempt is still ours: another sender may have taken us for dead and begun a new one.
    Delivery.objects.filter(
        pk=delivery.pk, attempts=delivery.attempts, status=Delivery.Status.SENDING
    ).update(
        status=status if result.error else Delivery.Status.DELIVERED,
        due_at=now + BACK_OFF[delivery.attempts - 1] if retry else now,
        ended_at=None if retry else now,
        last_error=result.error[:300],
        http_status=result.http_status,
        response_ms=took_ms,
    )
    if result.error:
        log.warning("delivery failed", delivery=delivery.pk, attempt=delivery.attempts, error=result.error)
