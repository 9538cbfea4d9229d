"""Webhook signatures after the Standard Webhooks specification."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping

from django.conf import settings

PREFIX = "whsec_"


def new_salt() -> str:
    return secrets.token_urlsafe(32)


def secret_of(salt: str) -> str:
    """The secret that a receiver was shown. It is in no table: whoever copies the database cannot sign."""
    derived = hmac.digest(settings.SECRET_KEY.encode(), f"roundhouse webhook {salt}".encode(), "sha256")
    return PREFIX + base64.b64encode(derived).decode()


def signed_headers(*, secret: str, message_id: str, timestamp: int, body: bytes) -> Mapping[str, str]:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    content = f"{message_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }
