"""What a message takes once it is parsed, read off its bytes: two of them may become an object of fifty."""

from collections.abc import Mapping
from typing import Any

from inference.tensors.protobuf import read_varint

# How many times as much as its bytes a field takes, or the same by field where it is a message. Lists of numbers become
# Python's numbers before they are a tensor.
_WORST = 40
_DECIMALS, _DOUBLES, _KEPT = 14, 8, 2
_FIELD = 100
_MOST_FIELDS = 2048  # of a message; the rest is not looked at, and taken for the worst

Fields = Mapping[int, Any]

NO_FIELDS: Fields = {}
INFER: Fields = {5: {5: {6: _DECIMALS, 7: _DOUBLES}}, 7: _KEPT}
ONE_TENSOR: Fields = {1: _DECIMALS}
TENSORS: Fields = {1: ONE_TENSOR}

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def parsed_bytes(raw: bytes, fields: Fields) -> int:
    """At most so many; what is no message is left to whoever parses it."""
    return _message_bytes(memoryview(raw), fields)


def _message_bytes(raw: memoryview, fields: Fields) -> int:
    at, needed = 0, 0
    for _ in range(_MOST_FIELDS):
        if at >= len(raw):
            return needed
        try:
            key, at = read_varint(raw, at)
            kind = key & 7
            if kind == _BYTES:
                size, at = read_varint(raw, at)
                inner = fields.get(key >> 3, _WORST)
                part = raw[at : at + size]
                needed += _message_bytes(part, inner) if isinstance(inner, Mapping) else inner * len(part)
                at += size
            elif kind == _VARINT:
                _, at = read_varint(raw, at)
            else:
                at += {_FIXED64: 8, _FIXED32: 4}[kind]
        except LookupError:  # it breaks off, or holds what nobody sends any more
            break
        needed += _FIELD
    return needed + _WORST * max(0, len(raw) - at)
