"""Audit records and events that an actor may see, what a record changed, and which deliveries come first and last."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db.models import Model as Row
from django.db.models import OuterRef, QuerySet, Subquery

from registry.kit.actors import Actor, every_model
from registry.kit.text import storable
from registry.record.models import AuditRecord, Delivery, Subscription

R = TypeVar("R", bound=Row)

READ = "read_record"
_CHANGES_SEARCHED = 300
_MAX_REASONS = 8


def visible(rows: QuerySet[R], by: Actor, *, model_slug: str = "model_slug") -> QuerySet[R]:
    """Keep the rows that the actor may see: people limited to some Models see only rows about those."""
    if READ not in by.rights:
        return rows.none()
    if by.models is None:
        return rows
    slugs = every_model().filter(pk__in=by.models).values("slug")
    return rows.filter(**{f"{model_slug}__in": slugs})


def records_about(row: Row) -> QuerySet[AuditRecord]:
    """The records about a row, newest first; for a Model also those about its versions, splits, aliases and so on."""
    if row._meta.label == "registry.Model":
        about = {"model_slug": str(row)}
    else:
        about = {"object_id": str(row.pk), "object_kind": row._meta.model_name or ""}
    return AuditRecord.objects.filter(**about).order_by("-seq")


@dataclass(frozen=True, slots=True)
class ValueChange:
    """One value before and after a change, as text."""

    name: str
    before: str
    after: str

    @property
    def is_changed(self) -> bool:
        return self.before != self.after


def differences(record: AuditRecord) -> list[ValueChange]:
    """Every value of the record before and after; changed values come first."""
    before, after = record.before or {}, record.after or {}
    values = [
        ValueChange(name, _text(before, name), _text(after, name)) for name in sorted({*before, *after})
    ]
    return sorted(values, key=lambda value: not value.is_changed)


def _text(values: dict[str, Any], name: str) -> str:
    if name not in values:
        return ""
    value = values[name]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def past_reasons(by: Actor, actions: Collection[str]) -> list[str]:
    """The person's last different reasons for these actions, found among their last 300 changes."""
    if by.user_id is None:
        return []
    own = AuditRecord.objects.filter(actor_name=storable(by.name, 200), user_id=by.user_id)
    changes = own.order_by("-seq").values_list("action", "reason")[:_CHANGES_SEARCHED]
    reasons = dict.fromkeys(reason for action, reason in changes if reason and action in actions)
    return list(reasons)[:_MAX_REASONS]


def deliveries_before() -> QuerySet[Delivery]:
    """For a subquery: what the outer delivery has to wait for, the open ones before it with its order key."""
    open_in_order = Delivery.objects.exclude(order_key="").filter(ended_at=None)
    return open_in_order.filter(
        subscription=OuterRef("subscription"), order_key=OuterRef("order_key"), pk__lt=OuterRef("pk")
    )


def last_deliveries(subscription_ids: Collection[int]) -> dict[int, Delivery]:
    """The newest delivery of each subscription, with its event, in one query."""
    newest = Delivery.objects.filter(subscription=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    ids = Subscription.objects.filter(pk__in=subscription_ids).order_by().values(newest=Subquery(newest))
    rows = Delivery.objects.filter(pk__in=ids).select_related("event")
    return {delivery.subscription_id: delivery for delivery in rows}
