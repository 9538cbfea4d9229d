"""Signed request ids that say which version answered, so that an outcome sent back later needs no look-up."""

import hashlib
import hmac
import itertools
import os
import struct
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from functools import cache
from typing import NamedTuple

from django.conf import settings

# format, version, split, arm, milliseconds since 1970, row, hash of the routing key, nonce
_FIELDS = struct.Struct(">BIIcQHQQ")
_FORMAT = 1
_MAC_BYTES = 8
_nonces = itertools.count(int.from_bytes(os.urandom(7), "big"))


class RequestIdFields(NamedTuple):
    """What a request id contains."""

    version_id: int
    split: int
    arm: str
    at_ms: int
    row: int
    key_hash: int  # 0: the request had no routing key


def make(*, version_id: int, split: int, arm: str, routing_key: str | None, row: int = 0) -> str:
    body = _FIELDS.pack(
        _FORMAT,
        version_id,
        split,
        arm.encode() or b"-",
        int(time.time() * 1000),
        row,
        hash_of(routing_key),
        next(_nonces),
    )
    return urlsafe_b64encode(body + _mac(body)).decode()


def read(text: str) -> RequestIdFields | None:
    """The fields of an id; None if we did not sign it."""
    try:
        raw = urlsafe_b64decode(text.encode())
    except (NotBase64, ValueError):
        return None
    if urlsafe_b64encode(raw).decode() != text:  # the decoder ignores spare bits and other characters
        return None
    body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    if len(body) != _FIELDS.size or not hmac.compare_digest(mac, _mac(body)):
        return None
    _, version_id, split, arm, at_ms, row, key_hash, _ = _FIELDS.unpack(body)
    return RequestIdFields(version_id, split, arm.decode().strip("-"), at_ms, row, key_hash)


def hash_of(routing_key: str | None) -> int:
    """Routing keys are the unit of analysis; the hash tells them apart without revealing them."""
    if routing_key is None:
        return 0
    digest = hashlib.blake2b(routing_key.encode(), key=_secret(), digest_size=8).digest()
    return int.from_bytes(digest, "big") or 1


def _mac(body: bytes) -> bytes:
    mac = _keyed().copy()
    mac.update(body)
    return mac.digest()


@cache
def _keyed() -> "hashlib.blake2b":
    """A hash with the key already applied, which is half of the work."""
    return hashlib.blake2b(key=_secret(), digest_size=_MAC_BYTES)


@cache
def _secret() -> bytes:
    return hashlib.blake2b(settings.SECRET_KEY.encode(), person=b"request-id", digest_size=32).digest()
