"""Sending one message, by signed webhook (following the Standard Webhooks specification) or by e-mail."""

import base64
import hashlib
import hmac
import secrets
import smtplib
import time
from collections.abc import Mapping
from dataclasses import dataclass

import orjson
from django.conf import settings
from django.core.mail import EmailMessage
from django.template.loader import render_to_string

from registry.errors import FetchFailed, UrlRefused
from registry.record.fetcher import default_fetcher
from registry.record.models import Delivery, Subscription

SIGNING_PREFIX = "whsec_"
_GONE = 410  # the receiver wants no more messages


@dataclass(frozen=True, slots=True)
class SendResult:
    """How one attempt ended; `error` is empty if the message arrived."""

    error: str = ""
    is_final: bool = False  # another attempt would fail too
    http_status: int | None = None


def send(delivery: Delivery) -> SendResult:
    """Make one attempt."""
    by_mail = delivery.subscription.channel == Subscription.Channel.EMAIL
    return _send_mail(delivery) if by_mail else _send_webhook(delivery)


def _send_webhook(delivery: Delivery) -> SendResult:
    body = body_of(delivery)
    headers = {
        "Content-Type": "application/json",
        **signed_headers(
            secret=secret_of(delivery.subscription.secret_salt),
            message_id=delivery.message_id,
            timestamp=int(time.time()),
            body=body,
        ),
    }
    try:
        response = default_fetcher().fetch(
            delivery.subscription.url, method="POST", headers=headers, body=body
        )
    except (UrlRefused, FetchFailed) as error:
        return SendResult(error=f"{error.code}: {error}", is_final=not error.retryable)
    if 200 <= response.status < 300:
        return SendResult(http_status=response.status)
    return SendResult(
        error=f"The receiver answered {response.status}.",
        is_final=response.status == _GONE,
        http_status=response.status,
    )


def body_of(delivery: Delivery) -> bytes:
    """The body of a webhook."""
    event = delivery.event
    return orjson.dumps({
        "type": event.kind,
        "timestamp": event.at,
        "data": {
            "event": event.pk,
            "summary": event.summary,
            "object": {"kind": event.object_kind, "id": event.object_id, "label": event.object_label},
            "model": event.model_slug or None,
            "count": delivery.count,
            "details": event.data,
        },
    })  # fmt: skip


def _send_mail(delivery: Delivery) -> SendResult:
    if not settings.MAIL_IS_SET_UP:
        return SendResult(error="No mail server is set up: set ROUNDHOUSE_SMTP_URL and ROUNDHOUSE_MAIL_FROM.")
    event = delivery.event
    message = EmailMessage(
        subject=f"[Roundhouse] {' '.join(event.summary.split())}"[:200],
        body=render_to_string(
            "registry/event_mail.txt", {"event": event, "delivery": delivery, "url": settings.PUBLIC_URL}
        ),
        to=[delivery.subscription.email],
        headers={"Message-ID": f"<{delivery.message_id}@roundhouse>"},
    )
    try:
        message.send()
    except (OSError, smtplib.SMTPException) as error:
        return SendResult(error=f"The mail server did not accept the message ({type(error).__name__}).")
    return SendResult()


def new_salt() -> str:
    return secrets.token_urlsafe(32)


def secret_of(salt: str) -> str:
    """The signing secret. It is not stored in any table, so a copy of the database cannot be used to sign."""
    derived = hmac.digest(settings.SECRET_KEY.encode(), f"roundhouse webhook {salt}".encode(), "sha256")
    return SIGNING_PREFIX + base64.b64encode(derived).decode()


def signed_headers(*, secret: str, message_id: str, timestamp: int, body: bytes) -> Mapping[str, str]:
    key = base64.b64decode(secret.removeprefix(SIGNING_PREFIX))
    content = f"{message_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }
