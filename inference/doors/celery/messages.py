"""Reads Celery messages with a signed envelope, without using Celery: sizes are limited, and headers trigger nothing.

The signer must have the API key; the key itself is never sent. The signature is HMAC-SHA256 in hex. Its secret is the
SHA-256 of the key's text, in hex, which is what we store of a key. It covers the task's name, its id and the envelope
without the signature, as JSON with sorted keys and no spaces. So no one can alter the envelope, or send it again
under another id or to another task.
"""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from uuid import UUID

from inference.doors.celery.errors import BadMessage, BadSignature, KeyEnded, StaleMessage, UnknownEnvelope
from registry.access.key_ring import Principal
from registry.access.keys import Signer, signer

MAX_DEPTH = 32
_WRAPPING_BYTES = 64 * 2**10  # headers and properties
_TEXT = {None, "", "utf-8", "utf8", "us-ascii", "binary"}
_FOLLOW_UPS = ("callbacks", "errbacks", "chain", "chord")
_MAX_QUOTED = 100
_MAX_SEARCHED_BYTES = 2**20

ENVELOPE_VERSION = 1
MAX_CLOCK_SKEW_S = 300
_OWN_FIELDS = frozenset({"v", "key_id", "sent_at", "signature"})


@dataclass(frozen=True, slots=True)
class CeleryMessage:
    """A task's name, its id, and its only argument."""

    task: str
    task_id: UUID
    envelope: Mapping[str, Any]


def raw_limit(body_bytes: int) -> int:
    """The largest message for a body of this size, which is sent as base64."""
    return body_bytes * 4 // 3 + _WRAPPING_BYTES


def read_message(raw: bytes, *, task: str, max_body_bytes: int) -> CeleryMessage:
    """Parse a raw message; raise BadMessage."""
    if len(raw) > raw_limit(max_body_bytes):
        raise BadMessage(f"The message has {len(raw):,} bytes; the body may have at most {max_body_bytes:,}.")
    outer = _object(_json(raw, "message"), "message")
    headers = _object(outer.get("headers"), "headers")
    if headers.get("task") != task:
        raise BadMessage(f"This queue accepts the task {task!r}, not {_short(headers.get('task'))}.")
    task_id = _task_id(headers.get("id"))
    if headers.get("eta"):
        raise BadMessage("`eta` and `countdown` are not supported; the message is processed at once.")
    return CeleryMessage(task, task_id, _only_argument(_body(outer, headers, max_body_bytes)))


def task_id_in(raw: bytes) -> str:
    """The id of an unreadable message, if it can be found; else empty."""
    if len(raw) > _MAX_SEARCHED_BYTES:
        return ""
    try:
        return str(_task_id(json.loads(raw)["headers"]["id"]))
    except (BadMessage, ValueError, TypeError, KeyError, RecursionError):
        return ""


def _body(outer: Mapping[str, Any], headers: Mapping[str, Any], max_bytes: int) -> Any:
    if headers.get("compression"):
        raise BadMessage("The body is compressed; send it uncompressed.")
    if outer.get("content-type") != "application/json" or outer.get("content-encoding") not in _TEXT:
        raise BadMessage(f"The body is {_short(outer.get('content-type'))}; send it as JSON, in UTF-8.")
    body = outer.get("body")
    if not isinstance(body, str):
        raise BadMessage("The message has no body.")
    properties = _object(outer.get("properties"), "properties")
    try:
        data = (
            base64.b64decode(body, validate=True)
            if properties.get("body_encoding") == "base64"
            else body.encode()
        )
    except (binascii.Error, ValueError):
        raise BadMessage("The body is not valid base64.") from None
    if len(data) > max_bytes:
        raise BadMessage(f"The body has {len(data):,} bytes; the limit is {max_bytes:,}.")
    return _json(data, "body")


def _only_argument(body: Any) -> Mapping[str, Any]:
    if not isinstance(body, list) or len(body) != 3:
        raise BadMessage("The body does not follow Celery's message protocol 2.")
    args, kwargs, embed = body
    if embed and any(_object(embed, "third part of the body").get(name) for name in _FOLLOW_UPS):
        raise BadMessage(
            "`link`, `link_error`, chains and chords are not supported; name a task in `on_done`."
        )
    if kwargs or not isinstance(args, list) or len(args) != 1:
        raise BadMessage("The task takes exactly one argument, the envelope.")
    return _object(args[0], "envelope")


def _json(data: bytes, what: str) -> Any:
    try:
        value = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise BadMessage(f"The {what} is not valid JSON: {_short(error)}.") from None
    _check_depth(value, what)
    return value


def _check_depth(value: Any, what: str) -> None:
    layer = [value]
    for _ in range(MAX_DEPTH):
        layer = [
            inner
            for outer in layer
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not layer:
            return
    raise BadMessage(f"The {what} is nested deeper than {MAX_DEPTH} levels.")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")


def _object(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadMessage(f"The {what} is not an object.")
    return value


def _task_id(value: Any) -> UUID:
    try:
        task_id = UUID(value)
    except (ValueError, TypeError, AttributeError):
        task_id = None
    if task_id is None or str(task_id) != value:
        raise BadMessage(f"The task id is {_short(value)}; it must be a UUID in Celery's format.")
    return task_id


def _short(value: object) -> str:
    text = str(value) if isinstance(value, Exception) else repr(value)
    return text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}…"


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message with a valid signature: its content, and whose key signed it."""

    message: CeleryMessage
    signer: Signer
    sent_at: float  # seconds since 1970, by the sender's clock

    @property
    def content(self) -> dict[str, Any]:
        return {name: value for name, value in self.message.envelope.items() if name not in _OWN_FIELDS}

    def check_fresh(self, within_s: float) -> float:
        """Return how many of these seconds are left; raise StaleMessage if it is too old or from the future."""
        age_s = time.time() - self.sent_at
        if not -MAX_CLOCK_SKEW_S <= age_s <= within_s:
            raise StaleMessage(
                f"The message is {age_s:,.0f} s old; it is accepted for {within_s:,.0f} s. Check that clocks are synchronised."
            )
        return within_s - max(0.0, age_s)

    def principal(self) -> Principal:
        """The key's owner; raise KeyEnded if the key is no longer valid."""
        if self.signer.principal is None:
            raise KeyEnded
        return self.signer.principal


def open_envelope(message: CeleryMessage) -> Envelope:
    """Check the signature; raise UnknownEnvelope, BadMessage or BadSignature."""
    fields = message.envelope
    if fields.get("v") != ENVELOPE_VERSION or isinstance(fields["v"], bool):
        raise UnknownEnvelope
    key_id, sent_at, signature = fields.get("key_id"), fields.get("sent_at"), fields.get("signature")
    if not isinstance(key_id, str) or not isinstance(signature, str):
        raise BadMessage("`key_id` and `signature` must be strings.")
    if not isinstance(sent_at, (int, float)) or isinstance(sent_at, bool):
        raise BadMessage("`sent_at` must be a number: seconds since 1970.")
    key = signer(key_id)
    # Sign in any case, so that the time taken does not reveal which keys exist.
    secret = key.secret if key is not None else "-"
    expected = signature_of(message.task, str(message.task_id), fields, secret=secret)
    is_signed = hmac.compare_digest(expected.encode(), signature.encode("utf-8", "surrogatepass"))
    if key is None or not is_signed:
        raise BadSignature
    return Envelope(message, key, float(sent_at))


def signature_of(task: str, task_id: str, envelope: Mapping[str, Any], *, secret: str) -> str:
    unsigned = {name: value for name, value in envelope.items() if name != "signature"}
    try:
        text = json.dumps(unsigned, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except ValueError:
        raise BadMessage("The envelope contains NaN or a number that is too large.") from None
    return hmac.new(secret.encode(), f"{task}\n{task_id}\n{text}".encode(), hashlib.sha256).hexdigest()
