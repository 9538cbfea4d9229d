"""Events: a row for each, and a delivery row for each subscription to it."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from celery import current_app
from django.db import connection, models, transaction
from django.db.models import F, Q
from django.utils import timezone

from registry.kit.actors import Actor
from registry.kit.registrations import Registrations
from registry.kit.text import storable
from registry.record.audit import AuditSubject, subject_of
from registry.record.models import Delivery, Event, Subscription

# Every kind of event, with a sentence that describes it.
EVENT_KINDS: Registrations[str] = Registrations("event kind")

# Kinds whose data only actors with a right may read here, and that are sent only to subscriptions that name them.
EVENT_RIGHTS: Registrations[str] = Registrations("right to read an event's data")

# Events of one kind and object within this time share a delivery. With the sweeper's 15 s, this stays below the
# 30 s promised for a first attempt.
GROUP_WINDOW = timedelta(seconds=10)


def emit(
    kind: str,
    *,
    subject: models.Model | AuditSubject,
    data: Mapping[str, Any],
    summary: str,
    model_slug: str | None = None,
    order_key: str = "",
    also_to: Sequence[Subscription] = (),
) -> Event:
    """Write an event and its deliveries, inside the transaction of the change; they are sent on commit.

    Receivers get `data`, so it holds no secrets. `summary` is a full sentence for people to read.

    Without an order key, events of one kind and object in quick succession share a delivery, and a retry may arrive
    after a newer event. With one, each event has its own delivery, and each subscription gets those with the same
    key in the order in which they were written. The caller has changed or locked a row that stands for the key
    earlier in this transaction: that puts events of simultaneous transactions in the order of their commits.

    `also_to` are subscriptions that get the event whatever kinds and Model they name, if they are enabled.
    """
    if kind not in EVENT_KINDS:
        raise ValueError(f"no such event kind: {kind}; add it to EVENT_KINDS")
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("emit must be called inside the change's transaction")
    subject = subject if isinstance(subject, AuditSubject) else subject_of(subject)
    event = Event.objects.create(
        kind=kind,
        object_kind=subject.kind,
        object_id=storable(subject.id, 64),
        object_label=storable(subject.label, 200),
        model_slug=subject.model_slug if model_slug is None else model_slug,
        summary=storable(summary, 500),
        data=dict(data),
    )
    order_key = storable(order_key, 200)
    for subscription in _subscriptions_to(event, also_to):
        if order_key:
            queue_delivery(subscription, event, order_key=order_key)
        else:
            _add_to_group(subscription, event)
    return event


def _subscriptions_to(event: Event, also_to: Sequence[Subscription]) -> list[Subscription]:
    named = {subscription.pk for subscription in also_to}
    of_its_model = Q(model=None) | Q(model__slug=event.model_slug)
    candidates = Subscription.objects.filter(of_its_model | Q(pk__in=named), enabled=True)
    is_for_all = event.kind not in EVENT_RIGHTS
    return [
        row
        for row in candidates
        if row.pk in named or event.kind in row.kinds or (is_for_all and not row.kinds)
    ]


def readable_data(event: Event, by: Actor) -> dict[str, Any]:
    """What this actor may read of an event."""
    if event.kind not in EVENT_RIGHTS or EVENT_RIGHTS[event.kind] in by.rights:
        return dict(event.data)
    return {"hidden": f"You lack the right to {EVENT_RIGHTS[event.kind].replace('_', ' ')}."}


def _add_to_group(subscription: Subscription, event: Event) -> None:
    now = timezone.now()
    group = Delivery.objects.filter(subscription=subscription, group_key=_group_key(event), order_key="")
    # Only a delivery that no sender has claimed: the claim and this update exclude each other.
    unsent = group.filter(status=Delivery.Status.WAITING, attempts=0)
    if unsent.update(event=event, count=F("count") + 1):
        return
    sent_lately = group.filter(created_at__gt=now - GROUP_WINDOW).exists()
    queue_delivery(subscription, event, due_at=now + GROUP_WINDOW if sent_lately else now)


def queue_delivery(
    subscription: Subscription, event: Event, *, due_at: datetime | None = None, order_key: str = ""
) -> Delivery:
    """Write the delivery; it is sent on commit if it is due now, else by the sweeper."""
    now = timezone.now()
    delivery = Delivery.objects.create(
        subscription=subscription,
        event=event,
        group_key=_group_key(event),
        order_key=order_key,
        message_id=f"msg_{uuid.uuid4().hex}",
        due_at=due_at or now,
    )
    if delivery.due_at <= now:
        send_on_commit(delivery.pk)
    return delivery


def _group_key(event: Event) -> str:
    return f"{event.kind}:{event.object_kind}:{event.object_id}"


def send_on_commit(delivery_id: int) -> None:
    """Start the delivery's task when the transaction has committed."""
    # Robust: a broker that is down must not fail the change; the sweeper finds the delivery within 15 s.
    # A lambda: Django logs the callback's __qualname__, and a partial has none.
    transaction.on_commit(lambda: _start_task(delivery_id), robust=True)


def _start_task(delivery_id: int) -> None:
    current_app.signature("registry.deliver", args=[delivery_id]).apply_async(retry=False)
