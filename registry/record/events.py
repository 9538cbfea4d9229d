"""Telling people and systems: an event is a row, and a delivery row for each subscription that wants it."""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, models, transaction
from django.db.models import F, Q
from django.utils import timezone

from registry.record import dispatch
from registry.record.audit import Subject, storable, subject_of
from registry.record.kinds import KINDS
from registry.record.models import Delivery, Event, Subscription

# Events of one kind and object that follow each other within this time share a delivery. With the sweeper's
# 15 s it stays below the 30 s after which a first attempt is promised.
GROUP_WINDOW = timedelta(seconds=10)


def emit(
    kind: str,
    *,
    subject: models.Model | Subject,
    data: Mapping[str, Any],
    summary: str,
    model_slug: str | None = None,
) -> Event:
    """Write an event and its deliveries, inside the transaction of what happened; they leave on commit.

    `data` is what receivers get: no secrets. `summary` is a full sentence for people.
    """
    if kind not in KINDS:
        raise ValueError(f"no such event kind: {kind}; register it in registry.record.kinds")
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("emit belongs inside the change's transaction")
    what = subject if isinstance(subject, Subject) else subject_of(subject)
    event = Event.objects.create(
        kind=kind,
        object_kind=what.kind,
        object_id=storable(what.id, 64),
        object_label=storable(what.label, 200),
        model_slug=what.model_slug if model_slug is None else model_slug,
        summary=storable(summary, 500),
        data=dict(data),
    )
    for subscription in _wanting(event):
        _add_delivery(subscription, event)
    return event


def _wanting(event: Event) -> list[Subscription]:
    of_its_model = Q(model=None) | Q(model__slug=event.model_slug)
    candidates = Subscription.objects.filter(of_its_model, enabled=True)
    return [one for one in candidates if not one.kinds or event.kind in one.kinds]


def _add_delivery(subscription: Subscription, event: Event) -> None:
    now = timezone.now()
    group = Delivery.objects.filter(subscription=subscription, group_key=_group_key(event))
    # Only one that nobody has begun to send: a sender's claim and this update exclude each other.
    unsent = group.filter(status=Delivery.Status.WAITING, attempts=0)
    if unsent.update(event=event, count=F("count") + 1):
        return
    told_lately = group.filter(created_at__gt=now - GROUP_WINDOW).exists()
    queue_delivery(subscription, event, due_at=now + GROUP_WINDOW if told_lately else now)


def queue_delivery(subscription: Subscription, event: Event, *, due_at: datetime | None = None) -> Delivery:
    """Write the delivery; send it on commit if it is due by then, else the sweeper does."""
    now = timezone.now()
    delivery = Delivery.objects.create(
        subscription=subscription,
        event=event,
        group_key=_group_key(event),
        message_id=f"msg_{uuid.uuid4().hex}",
        due_at=due_at or now,
    )
    if delivery.due_at <= now:
        dispatch.deliver(delivery.pk)
    return delivery


def _group_key(event: Event) -> str:
    return f"{event.kind}:{event.object_kind}:{event.object_id}"
