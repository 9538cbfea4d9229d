"""What was measured, in a form that every database keeps: text without NUL, numbers that are finite."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from registry.kit.text import storable

_LONGEST_TEXT, _DEEPEST = 10_000, 20


def storable_facts(value: Any, depth: int = 0) -> Any:
    """Copy JSON-like values; what JSON or PostgreSQL would refuse becomes text."""
    if depth > _DEEPEST:
        return "…"
    if isinstance(value, str):
        return storable(value, _LONGEST_TEXT)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return {
            storable(str(name), _LONGEST_TEXT): storable_facts(one, depth + 1) for name, one in value.items()
        }
    if isinstance(value, (Sequence, set, frozenset)) and not isinstance(value, (bytes, bytearray)):
        return [storable_facts(one, depth + 1) for one in value]
    return storable(str(value), _LONGEST_TEXT)
