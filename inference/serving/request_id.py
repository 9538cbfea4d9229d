"""Signed request ids that say which version answered and how it was chosen, so that nothing about a request needs a log."""

import hashlib
import hmac
import itertools
import os
import struct
import time
from base64 import urlsafe_b64decode
from binascii import Error as NotBase64
from binascii import b2a_base64
from functools import cache
from typing import NamedTuple

from django.conf import settings

# format, version, split, arm, milliseconds since 1970 with 16 bits for `chosen_by`, row, hash of the routing key, nonce
_FIELDS = struct.Struct(">BIIcQHQQ")
_FORMAT = 2
_WITHOUT_CHOICE = 1  # the format before: milliseconds alone
_CHOICE_BITS = 16
_MAC_BYTES = 8
_LENGTH = 60  # characters of body and MAC in Base64
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_nonces = itertools.count(int.from_bytes(os.urandom(7), "big"))

# How a version was chosen, if not by a bucket: numbers that no bucket has.
ONLY_ARM, BY_VERSION, BY_ALIAS, NOT_SAID = 0xFFFF, 0xFFFE, 0xFFFD, 0xFFFC


class RequestIdFields(NamedTuple):
    """What a request id contains."""

    version_id: int
    split: int
    arm: str
    at_ms: int
    row: int
    key_hash: int  # 0: the request had no routing key
    chosen_by: int  # the bucket, or one of the constants above

    @property
    def bucket(self) -> int | None:
        """The bucket that decided; None if none did, or if the id is too old to say."""
        return self.chosen_by if self.chosen_by < NOT_SAID else None


def make(
    *,
    version_id: int,
    split: int,
    arm: str,
    routing_key: str | None,
    chosen_by: int = NOT_SAID,
    row: int = 0,
) -> str:
    body = _FIELDS.pack(
        _FORMAT,
        version_id,
        split,
        arm.encode() or b"-",
        int(time.time() * 1000) << _CHOICE_BITS | chosen_by,
        row,
        hash_of(routing_key),
        next(_nonces),
    )
    return _signed(body).decode()


def read(text: str) -> RequestIdFields | None:
    """The fields of an id; None if we did not sign it."""
    if len(text) != _LENGTH:
        return None
    try:
        sent = text.encode()
        body = urlsafe_b64decode(sent)[:-_MAC_BYTES]
    except (NotBase64, ValueError):
        return None
    # Compared as text: the decoder ignores spare bits and other characters.
    if len(body) != _FIELDS.size or not hmac.compare_digest(_signed(body), sent):
        return None
    kind, version_id, split, arm, moment, row, key_hash, _ = _FIELDS.unpack(body)
    if kind == _WITHOUT_CHOICE:
        at_ms, chosen_by = moment, NOT_SAID
    else:
        at_ms, chosen_by = moment >> _CHOICE_BITS, moment & ((1 << _CHOICE_BITS) - 1)
    return RequestIdFields(version_id, split, arm.decode().strip("-"), at_ms, row, key_hash, chosen_by)


def hash_of(routing_key: str | None) -> int:
    """Routing keys are the unit of analysis; the hash tells them apart without revealing them."""
    if routing_key is None:
        return 0
    digest = hashlib.blake2b(routing_key.encode(), key=_secret(), digest_size=8).digest()
    return int.from_bytes(digest, "big") or 1


def _signed(body: bytes) -> bytes:
    """The body and its MAC in URL-safe Base64."""
    mac = _keyed().copy()
    mac.update(body)
    return b2a_base64(body + mac.digest(), newline=False).translate(_URL_SAFE)


@cache
def _keyed() -> "hashlib.blake2b":
    """A hash with the key already applied, which is half of the work."""
    return hashlib.blake2b(key=_secret(), digest_size=_MAC_BYTES)


@cache
def _secret() -> bytes:
    return hashlib.blake2b(settings.SECRET_KEY.encode(), person=b"request-id", digest_size=32).digest()
