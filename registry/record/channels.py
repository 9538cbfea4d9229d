"""How one message leaves: by webhook or by e-mail. What went wrong comes back as words."""

import smtplib
import time
from dataclasses import dataclass

import orjson
from django.conf import settings
from django.core.mail import EmailMessage
from django.template.loader import render_to_string

from registry.errors import FetchFailed, UrlRefused
from registry.record.fetcher import default_fetcher
from registry.record.models import Delivery, Subscription
from registry.record.signing import secret_of, signed_headers

_GONE = 410  # the receiver says: never again


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt ended; `error` is empty when it reached its receiver."""

    error: str = ""
    is_final: bool = False  # another attempt would end the same way
    http_status: int | None = None


def send(delivery: Delivery) -> Outcome:
    """Make one attempt."""
    by_mail = delivery.subscription.channel == Subscription.Channel.EMAIL
    return _send_mail(delivery) if by_mail else _send_webhook(delivery)


def _send_webhook(delivery: Delivery) -> Outcome:
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
        answer = default_fetcher().fetch(delivery.subscription.url, method="POST", headers=headers, body=body)
    except (UrlRefused, FetchFailed) as error:
        return Outcome(error=f"{error.code}: {error}", is_final=not error.retryable)
    if 200 <= answer.status < 300:
        return Outcome(http_status=answer.status)
    return Outcome(
        error=f"The receiver answered {answer.status}.",
        is_final=answer.status == _GONE,
        http_status=answer.status,
    )


def body_of(delivery: Delivery) -> bytes:
    """What a webhook carries."""
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


def _send_mail(delivery: Delivery) -> Outcome:
    if not settings.MAIL_IS_SET_UP:
        return Outcome(error="No mail server is set up: set ROUNDHOUSE_SMTP_URL and ROUNDHOUSE_MAIL_FROM.")
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
        return Outcome(error=f"The mail server did not take the message ({type(error).__name__}).")
    return Outcome()
