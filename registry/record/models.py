"""Leases, audit records and checkpoints, events and their deliveries."""

import json
from typing import Any, NoReturn

from django.conf import settings
from django.db import models
from django.db.models import Q

from registry.kit.actors import Source


class Lease(models.Model):
    """Which one of several processes may do something now, according to the database's clock."""

    name = models.CharField(max_length=64, primary_key=True)
    holder = models.CharField(max_length=128)
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name}: {self.holder}"


class AppendOnly(models.QuerySet[Any]):
    """Rows that are added one by one and never changed."""

    def update(self, **_: Any) -> NoReturn:
        raise _never_changed(self.model)

    def delete(self) -> NoReturn:
        raise _never_changed(self.model)

    def bulk_create(self, *_: Any, **__: Any) -> NoReturn:
        raise _never_changed(self.model)

    bulk_update = bulk_create


class AppendOnlyRow(models.Model):
    """A row that cannot be changed or deleted; database triggers enforce this as well."""

    objects = AppendOnly.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise _never_changed(type(self))
        kwargs["force_insert"] = True  # an explicit primary key would otherwise update the row that has it
        super().save(*args, **kwargs)

    def delete(self, *_: Any, **__: Any) -> NoReturn:
        raise _never_changed(type(self))


def _never_changed(kind: type[models.Model]) -> TypeError:
    return TypeError(f"{kind._meta.verbose_name_plural} are only ever added, never changed or deleted")


class AuditRecord(AppendOnlyRow):
    """One line of the hash-chained log of every control-plane change."""

    seq = models.PositiveBigIntegerField("number", primary_key=True)
    at = models.DateTimeField()
    actor_name = models.CharField("actor", max_length=200)
    user_id = models.BigIntegerField("user", null=True)
    key_id = models.BigIntegerField("API key", null=True)
    source = models.CharField(max_length=8, choices=[(source.value, source.value) for source in Source])
    request_id = models.CharField(max_length=64, blank=True)
    action = models.CharField(max_length=64)
    object_kind = models.CharField(max_length=64)
    object_id = models.CharField(max_length=64, blank=True)
    object_label = models.CharField("object", max_length=200)
    model_slug = models.CharField("Model", max_length=64, blank=True)
    # Text, not JSON columns: PostgreSQL would normalise the numbers, and the hash is computed over our text.
    before_json = models.TextField()
    after_json = models.TextField()
    reason = models.CharField(max_length=1000, blank=True)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        verbose_name = "audit record"
        ordering = ["-seq"]
        indexes = [
            models.Index(fields=["action", "seq"], name="audit_action"),
            models.Index(fields=["source", "seq"], name="audit_source"),
            models.Index(fields=["model_slug", "seq"], name="audit_model"),
            models.Index(fields=["actor_name", "seq"], name="audit_actor"),
            models.Index(fields=["object_id", "object_kind", "seq"], name="audit_object"),
            models.Index(fields=["object_label", "seq"], name="audit_label"),
            models.Index(fields=["request_id"], name="audit_request"),
            models.Index(fields=["at", "seq"], name="audit_at"),
        ]

    def __str__(self) -> str:
        return f"#{self.seq} {self.action.replace('_', ' ')} {self.object_label}"

    @property
    def before(self) -> dict[str, Any] | None:
        values: dict[str, Any] | None = json.loads(self.before_json)
        return values

    @property
    def after(self) -> dict[str, Any] | None:
        values: dict[str, Any] | None = json.loads(self.after_json)
        return values


class AuditCheckpoint(AppendOnlyRow):
    """The chain's last record at a point in time, signed; a copy outside the database reveals a truncated chain."""

    number = models.PositiveBigIntegerField(primary_key=True)
    at = models.DateTimeField()
    seq = models.PositiveBigIntegerField("last record")
    record_hash = models.CharField(max_length=64)
    previous_signature = models.CharField(max_length=64)
    signature = models.CharField(max_length=64)

    class Meta:
        verbose_name = "audit checkpoint"
        ordering = ["-number"]

    def __str__(self) -> str:
        return f"checkpoint {self.number} at record {self.seq}"


class Event(models.Model):
    """Something that people or other systems need to know about."""

    at = models.DateTimeField(auto_now_add=True)
    kind = models.CharField(max_length=64)
    object_kind = models.CharField(max_length=64)
    object_id = models.CharField(max_length=64, blank=True)
    object_label = models.CharField("object", max_length=200)
    model_slug = models.CharField("Model", max_length=64, blank=True)
    summary = models.CharField(max_length=500)
    data = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["kind", "id"], name="event_kind"),
            models.Index(fields=["model_slug", "id"], name="event_model"),
            models.Index(fields=["at"], name="event_at"),
            models.Index(fields=["object_id", "object_kind"], name="event_object"),
        ]

    def __str__(self) -> str:
        return self.summary


class Subscription(models.Model):
    """Which events are sent to which webhook or e-mail address."""

    class Channel(models.TextChoices):
        WEBHOOK = "webhook"
        EMAIL = "email", "e-mail"

    name = models.CharField(max_length=100, unique=True)
    kinds = models.JSONField(default=list, help_text="Kinds of events; none means all of them.", blank=True)
    model = models.ForeignKey(
        "registry.Model",
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
        help_text="Only events of this Model; leave empty for all Models.",
    )
    channel = models.CharField(max_length=8, choices=Channel, default=Channel.WEBHOOK)
    url = models.CharField("webhook URL", max_length=2000, blank=True)
    email = models.EmailField("e-mail address", blank=True)
    # The signing secret is derived from this and SECRET_KEY, so a copy of the database cannot be used to sign.
    secret_salt = models.CharField(max_length=64, editable=False)
    enabled = models.BooleanField(default=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        editable=False,
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=(Q(channel="webhook", email="") & ~Q(url=""))
                | (Q(channel="email", url="") & ~Q(email="")),
                name="subscription_has_an_address",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def target(self) -> str:
        return self.url or self.email


class Delivery(models.Model):
    """One message to one subscription: its attempts, when the next one is due, and how it ended."""

    class Status(models.TextChoices):
        WAITING = "waiting"
        SENDING = "sending"
        DELIVERED = "delivered"
        FAILED = "failed"

    subscription = models.ForeignKey(Subscription, on_delete=models.CASCADE, related_name="deliveries")
    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="deliveries")
    # Kind and object of the event: several events of one object in quick succession share a delivery.
    group_key = models.CharField(max_length=200)
    order_key = models.CharField(
        max_length=200,
        blank=True,
        default="",
        db_default="",  # processes of the release before write rows while this one starts
        help_text="Deliveries of one subscription with the same order key are sent one after another, in the order "
        "of their events. Empty: in no order, as after Send again.",
    )
    count = models.PositiveIntegerField("events", default=1)
    message_id = models.CharField(max_length=64, unique=True)
    status = models.CharField(max_length=9, choices=Status, default=Status.WAITING)
    # The number of attempts begun; also the token that keeps two workers from making the same one.
    attempts = models.PositiveSmallIntegerField(default=0)
    # Waiting: when the next attempt is due. Sending: when the sender is considered dead.
    due_at = models.DateTimeField("next attempt")
    last_error = models.CharField(max_length=300, blank=True)
    http_status = models.PositiveSmallIntegerField("HTTP status", null=True)
    response_ms = models.PositiveIntegerField("response time (ms)", null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "deliveries"
        ordering = ["-id"]
        indexes = [
            # SQLite uses them only if the query has their condition without parameters, so it names no status.
            models.Index(fields=["due_at"], condition=Q(ended_at=None), name="delivery_due"),
            models.Index(
                fields=["subscription", "order_key", "id"], condition=Q(ended_at=None), name="delivery_order"
            ),
            models.Index(fields=["status", "id"], name="delivery_status"),
            models.Index(fields=["subscription", "group_key", "created_at"], name="delivery_group"),
            models.Index(fields=["subscription", "id"], name="delivery_last"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=["delivered", "failed"], ended_at__isnull=False)
                | Q(status__in=["waiting", "sending"], ended_at__isnull=True),
                name="delivery_ended_when_over",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event.kind} to {self.subscription.name}"

    @property
    def is_on_its_way(self) -> bool:
        """Whether its first attempt has not ended yet."""
        is_new = self.status == self.Status.WAITING and not self.attempts
        return is_new or self.status == self.Status.SENDING
