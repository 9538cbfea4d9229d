"""Writes of subscriptions: who is told, of what, and how."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction

from registry.errors import Invalid, NameTaken
from registry.kit.actors import Actor
from registry.record.audit import record_change, subject_of
from registry.record.events import queue_delivery
from registry.record.fetcher.urls import read_url
from registry.record.kinds import KINDS
from registry.record.models import Delivery, Event, Subscription
from registry.record.signing import new_salt, secret_of

RIGHT = "manage_subscriptions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a subscription shall be. An address of neither or both channels is refused."""

    name: str
    kinds: Sequence[str] = ()
    model_id: int | None = None
    url: str = ""
    email: str = ""
    enabled: bool = True


@transaction.atomic
def add_subscription(*, wish: Wish, by: Actor) -> tuple[Subscription, str]:
    """Make a subscription; return it and the secret of its signatures, which is shown only now."""
    by.check(RIGHT)
    _check(wish)
    subscription = Subscription(secret_salt=new_salt(), created_by_id=by.user_id)
    _save(subscription, wish)
    record_change(
        action="add_subscription", subject=subscription, before=None, after=_shown(subscription), by=by
    )
    return subscription, secret_of(subscription.secret_salt)


@transaction.atomic
def change_subscription(*, subscription: Subscription, wish: Wish, by: Actor) -> Subscription:
    by.check(RIGHT)
    _check(wish)
    row = _locked(subscription)
    before = _shown(row)
    _save(row, wish)
    record_change(action="change_subscription", subject=row, before=before, after=_shown(row), by=by)
    return row


@transaction.atomic
def remove_subscription(*, subscription: Subscription, by: Actor) -> None:
    """Delete it with its deliveries; the audit record keeps what it was."""
    by.check(RIGHT)
    subject, before = subject_of(subscription), _shown(subscription)
    subscription.delete()
    record_change(action="remove_subscription", subject=subject, before=before, after=None, by=by)


@transaction.atomic
def renew_secret(*, subscription: Subscription, by: Actor) -> str:
    """Make another secret; the old one signs nothing from now on. Return it: it is shown only now."""
    by.check(RIGHT)
    salt = new_salt()
    Subscription.objects.filter(pk=subscription.pk).update(secret_salt=salt)
    record_change(action="renew_webhook_secret", subject=subscription, before=None, after=None, by=by)
    return secret_of(salt)


@transaction.atomic
def send_test(*, subscription: Subscription, by: Actor) -> Delivery:
    """Send a test event to this subscription alone, whatever it subscribes to, enabled or not."""
    by.check(RIGHT)
    event = Event.objects.create(
        kind="test",
        object_kind="subscription",
        object_id=str(subscription.pk),
        object_label=subscription.name,
        summary=f"{by.name} tries whether {subscription.name} is reached.",
    )
    return queue_delivery(subscription, event)


def _check(wish: Wish) -> None:
    unknown = sorted(set(wish.kinds) - set(KINDS))
    if unknown:
        raise Invalid(f"There is no event kind {unknown[0]}; docs/events.md lists them.")
    if bool(wish.url) == bool(wish.email):
        raise Invalid("Give the address of a webhook or an e-mail address, one of the two.")
    if wish.url:
        read_url(wish.url, settings.FETCH_ALLOWED_HOSTS)
    else:
        _check_mail(wish.email)


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


def _save(subscription: Subscription, wish: Wish) -> None:
    subscription.name = wish.name
    subscription.kinds = sorted(set(wish.kinds))
    subscription.model_id = wish.model_id
    subscription.channel = Subscription.Channel.WEBHOOK if wish.url else Subscription.Channel.EMAIL
    subscription.url, subscription.email = wish.url, wish.email
    subscription.enabled = wish.enabled
    try:
        with transaction.atomic():
            subscription.save()
    except IntegrityError:
        raise NameTaken(f"There is already a subscription named {wish.name}; choose another name.") from None


def _shown(subscription: Subscription) -> dict[str, Any]:
    return {
        "name": subscription.name,
        "kinds": subscription.kinds,
        "model": subscription.model.slug if subscription.model else None,
        "channel": subscription.channel,
        "target": subscription.target,
        "enabled": subscription.enabled,
    }
