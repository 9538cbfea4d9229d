"""Envelopes: signed orders. Who signs has the API key; the key itself never travels.

The signature is HMAC-SHA256 in hex. Its secret is the SHA-256 of the key's text, in hex, which is what is kept here of a
key. What is signed is the task's name, its id and the envelope without the signature, as JSON with sorted keys and no spaces:
nobody can change a word, or send it again under another id or to another task.
"""

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inference.jobs.celery_door.errors import (
    BadMessage,
    BadSignature,
    KeyEnded,
    StaleMessage,
    UnknownEnvelope,
)
from inference.jobs.celery_door.messages import Message
from registry.access.key_ring import Principal
from registry.access.keys import Signer, signer

VERSION = 1
AHEAD_S = 300
_OWN_FIELDS = frozenset({"v", "key_id", "sent_at", "signature"})


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message whose signature holds: what is asked for, and whose key asks."""

    message: Message
    signer: Signer
    sent_at: float  # seconds since 1970, by the sender's clock

    @property
    def asked(self) -> dict[str, Any]:
        return {name: value for name, value in self.message.envelope.items() if name not in _OWN_FIELDS}

    def check_fresh(self, within_s: float) -> float:
        """Return how many seconds of this time are left; raise StaleMessage where none are."""
        age_s = time.time() - self.sent_at
        if not -AHEAD_S <= age_s <= within_s:
            raise StaleMessage(
                f"The message is {age_s:,.0f} s old; it is taken for {within_s:,.0f} s, by synchronised clocks."
            )
        return within_s - max(0.0, age_s)

    def principal(self) -> Principal:
        """Whom it acts for; raises KeyEnded where the key is valid no more."""
        if self.signer.principal is None:
            raise KeyEnded
        return self.signer.principal


def opened(message: Message) -> Envelope:
    """Check the signature; raise UnknownEnvelope, BadMessage or BadSignature."""
    given = message.envelope
    if given.get("v") != VERSION or isinstance(given["v"], bool):
        raise UnknownEnvelope
    key_id, sent_at, signature = given.get("key_id"), given.get("sent_at"), given.get("signature")
    if not isinstance(key_id, str) or not isinstance(signature, str):
        raise BadMessage("`key_id` and `signature` must be texts.")
    if not isinstance(sent_at, (int, float)) or isinstance(sent_at, bool):
        raise BadMessage("`sent_at` must be a number: seconds since 1970.")
    found = signer(key_id)
    # Signed with something in any case: how long an answer takes tells nobody which keys there are.
    expected = signature_of(
        message.task, str(message.task_id), given, secret=found.secret if found is not None else "-"
    )
    is_signed = hmac.compare_digest(expected.encode(), signature.encode("utf-8", "surrogatepass"))
    if found is None or not is_signed:
        raise BadSignature
    return Envelope(message, found, float(sent_at))


def signature_of(task: str, task_id: str, envelope: Mapping[str, Any], *, secret: str) -> str:
    unsigned = {name: value for name, value in envelope.items() if name != "signature"}
    try:
        text = json.dumps(unsigned, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except ValueError:
        raise BadMessage("The envelope holds a number that is none, or too large.") from None
    return hmac.new(secret.encode(), f"{task}\n{task_id}\n{text}".encode(), hashlib.sha256).hexdigest()
