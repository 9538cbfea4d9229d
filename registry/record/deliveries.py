"""Deliveries of events: claim one, send it, write the result, and retry later."""

import time
from datetime import timedelta

import structlog
from django.db.models import Exists, F, QuerySet
from django.utils import timezone

from registry.errors import Conflict
from registry.kit.actors import Actor
from registry.record import channels, events
from registry.record.channels import SendResult
from registry.record.models import Delivery
from registry.record.selectors import deliveries_before
from registry.record.subscriptions import RIGHT

log = structlog.get_logger("registry.record")

# The pause after each failed attempt: the first, the second, and so on. The last attempt is not retried.
BACK_OFF = tuple(
    timedelta(seconds=seconds) for seconds in (10, 60, 300, 1_800, 7_200, 21_600, 43_200, 86_400)
)
# A sender counts as dead after this; no fetch or mail may take that long.
_MAX_SENDING = timedelta(seconds=60)
_MAX_SWEPT = 500


def deliver(delivery_id: int) -> bool:
    """Make the next attempt if it is due, its turn and claimed by no other sender; return whether it was made."""
    delivery = _claim(delivery_id)
    if delivery is None:
        return False
    began = time.monotonic()
    result = channels.send(delivery)
    has_ended = _write_result(delivery, result, took_ms=int((time.monotonic() - began) * 1000))
    if has_ended and delivery.order_key:
        _start_next(delivery)
    return True


def sweep() -> int:
    """Start the due deliveries whose turn it is: retries, those of dead senders, messages lost by a broker.

    Return how many.
    """
    ids = list(_due().order_by("due_at").values_list("pk", flat=True)[:_MAX_SWEPT])
    for delivery_id in ids:
        events.send_on_commit(delivery_id)
    return len(ids)


def resend(delivery: Delivery, *, by: Actor) -> Delivery:
    """Send a finished delivery again. Receivers see the same webhook-id.

    It loses its order key, so it is sent at once, after newer ones and perhaps beside them: it waits for no other
    delivery, and none waits for it.
    """
    by.check(RIGHT)
    ended = (Delivery.Status.DELIVERED, Delivery.Status.FAILED)
    changed = Delivery.objects.filter(pk=delivery.pk, status__in=ended).update(
        status=Delivery.Status.WAITING, due_at=timezone.now(), ended_at=None, order_key=""
    )
    if not changed:
        raise Conflict(
            f"Delivery {delivery.pk} is still being sent; it is retried automatically if it fails."
        )
    events.send_on_commit(delivery.pk)
    delivery.refresh_from_db()
    return delivery


def _due() -> QuerySet[Delivery]:
    """The deliveries to attempt now: due, and in order after none that is still open."""
    due = Delivery.objects.filter(ended_at=None, due_at__lte=timezone.now())
    return due.filter(~Exists(deliveries_before()))


def _claim(delivery_id: int) -> Delivery | None:
    """Claim the next attempt. Of two senders that read the same number of attempts, only one updates the row.

    The turn is checked by the same statement. What it saw of earlier deliveries stays true: one that has ended never
    opens again with its order key.
    """
    due = _due().filter(pk=delivery_id)
    attempts = due.values_list("attempts", flat=True).first()
    if attempts is None:
        return None
    claimed = due.filter(attempts=attempts).update(
        status=Delivery.Status.SENDING, attempts=F("attempts") + 1, due_at=timezone.now() + _MAX_SENDING
    )
    if not claimed:
        return None
    return Delivery.objects.select_related("event", "subscription").get(pk=delivery_id)


def _write_result(delivery: Delivery, result: SendResult, *, took_ms: int) -> bool:
    """Write how the attempt ended; return whether the delivery ended with it."""
    now = timezone.now()
    retry = result.error and not result.is_final and delivery.attempts <= len(BACK_OFF)
    status = Delivery.Status.WAITING if retry else Delivery.Status.FAILED
    # Only if the attempt is still ours: another sender may have taken us for dead and begun a new one.
    written = Delivery.objects.filter(
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
    return bool(written) and not retry


def _start_next(delivery: Delivery) -> None:
    """Start the delivery that comes after this one in order."""
    later = Delivery.objects.filter(
        subscription=delivery.subscription_id, order_key=delivery.order_key, ended_at=None
    )
    next_id = later.order_by("pk").values_list("pk", flat=True).first()
    if next_id is not None:
        events.send_on_commit(next_id)
