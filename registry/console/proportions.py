"""Sharing a whole number out in proportion, with nothing lost to rounding."""

from collections.abc import Hashable, Mapping
from typing import TypeVar

K = TypeVar("K", bound=Hashable)


def shared_out(whole: int, weights: Mapping[K, int]) -> dict[K, int]:
    """Whole parts that make `whole`: each is rounded down, and the largest remainders get what is left."""
    total = sum(weights.values())
    parts = {key: whole * weight // total for key, weight in weights.items()}
    by_remainder = sorted(weights, key=lambda key: whole * weights[key] % total, reverse=True)
    for key in by_remainder[: whole - sum(parts.values())]:
        parts[key] += 1
    return parts
