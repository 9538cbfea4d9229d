"""Changes to subscriptions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction

from registry.errors import Invalid, NameTaken, NotFound
from registry.kit.actors import Actor
from registry.record.audit import record_change, subject_of
from registry.record.channels import new_salt, secret_of
from registry.record.events import EVENT_KINDS, queue_delivery
from registry.record.fetcher.urls import read_url
from registry.record.models import Delivery, Event, Subscription

RIGHT = "manage_subscriptions"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionSettings:
    """A subscription's settings, with the address of exactly one channel."""

    name: str
    kinds: Sequence[str] = ()
    model_id: int | None = None
    url: str = ""
    email: str = ""
    enabled: bool = True


def subscription_named(name: str) -> Subscription:
    """Return the subscription; raise NotFound if there is none with this name."""
    subscription = Subscription.objects.filter(name=name).first()
    if subscription is None:
        raise NotFound(f"There is no subscription {name}.")
    return subscription


@transaction.atomic
def add_subscription(*, values: SubscriptionSettings, by: Actor) -> tuple[Subscription, str]:
    """Create a subscription; return it and its signing secret, which is never shown again."""
    by.check(RIGHT)
    _check(values)
    subscription = Subscription(secret_salt=new_salt(), created_by_id=by.user_id)
    _save(subscription, values)
    record_change(
        action="add_subscription", subject=subscription, before=None, after=_audit_fields(subscription), by=by
    )
    return subscription, secret_of(subscription.secret_salt)


@transaction.atomic
def change_subscription(
    *, subscription: Subscription, values: SubscriptionSettings, by: Actor
) -> Subscription:
    by.check(RIGHT)
    _check(values)
    row = _locked(subscription)
    before = _audit_fields(row)
    _save(row, values)
    record_change(action="change_subscription", subject=row, before=before, after=_audit_fields(row), by=by)
    return row


@transaction.atomic
def remove_subscription(*, subscription: Subscription, by: Actor) -> None:
    """Delete it with its deliveries; the audit record keeps its values."""
    by.check(RIGHT)
    subject, before = subject_of(subscription), _audit_fields(subscription)
    subscription.delete()
    record_change(action="remove_subscription", subject=subject, before=before, after=None, by=by)


@transaction.atomic
def renew_secret(*, subscription: Subscription, by: Actor) -> str:
    """Replace the signing secret; return the new one, which is never shown again."""
    by.check(RIGHT)
    salt = new_salt()
    Subscription.objects.filter(pk=subscription.pk).update(secret_salt=salt)
    record_change(action="renew_webhook_secret", subject=subscription, before=None, after=None, by=by)
    return secret_of(salt)


@transaction.atomic
def send_test(*, subscription: Subscription, by: Actor) -> Delivery:
    """Send a test event to this subscription only, whatever it subscribes to, enabled or not."""
    by.check(RIGHT)
    event = Event.objects.create(
        kind="test",
        object_kind="subscription",
        object_id=str(subscription.pk),
        object_label=subscription.name,
        summary=f"{by.name} sent a test to {subscription.name}.",
    )
    return queue_delivery(subscription, event)


def _check(values: SubscriptionSettings) -> None:
    unknown = sorted(kind for kind in values.kinds if kind not in EVENT_KINDS)
    if unknown:
        raise Invalid(f"There is no event kind {unknown[0]}; docs/events.md lists all kinds.")
    if bool(values.url) == bool(values.email):
        raise Invalid("Enter either a webhook URL or an e-mail address.")
    if values.url:
        read_url(values.url, settings.FETCH_ALLOWED_HOSTS)
    else:
        _check_mail(values.email)


def _check_mail(email: str) -> None:
    if not settings.MAIL_IS_SET_UP:
        raise Invalid(
            "No mail server is set up, so e-mail cannot be sent: set ROUNDHOUSE_SMTP_URL and ROUNDHOUSE_MAIL_FROM."
        )
    try:
        validate_email(email)
    except ValidationError:
        raise Invalid("The e-mail address is not valid.") from None


def _locked(subscription: Subscription) -> Subscription:
    return Subscription.objects.select_for_update().get(pk=subscription.pk)


def _save(subscription: Subscription, values: SubscriptionSettings) -> None:
    subscription.name = values.name
    subscription.kinds = sorted(set(values.kinds))
    subscription.model_id = values.model_id
    subscription.channel = Subscription.Channel.WEBHOOK if values.url else Subscription.Channel.EMAIL
    subscription.url, subscription.email = values.url, values.email
    subscription.enabled = values.enabled
    try:
        with transaction.atomic():
            subscription.save()
    except IntegrityError:
        raise NameTaken(
            f"There is already a subscription named {values.name}; choose another name."
        ) from None


def _audit_fields(subscription: Subscription) -> dict[str, Any]:
    return {
        "name": subscription.name,
        "kinds": subscription.kinds,
        "model": subscription.model.slug if subscription.model else None,
        "channel": subscription.channel,
        "target": subscription.target,
        "enabled": subscription.enabled,
    }
