"""Whether a waiting split may become current. Processes that serve tell; this room only asks."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from registry.traffic.models import Split


class Verdict(StrEnum):
    READY = "ready"
    WAIT = "wait"
    NEVER = "never"  # a version cannot be loaded: the split expires


@dataclass(frozen=True, slots=True)
class Readiness:
    verdict: Verdict
    sentence: str = ""


Check = Callable[[Split], Readiness]


def always_ready(_split: Split) -> Readiness:
    """What holds until somebody reports which versions are warm."""
    return Readiness(Verdict.READY)


_check: Check = always_ready


def register_readiness(check: Check) -> Check:
    """Ask this function from now on; return the one asked before. It runs in a transaction: database look-ups only."""
    global _check
    before, _check = _check, check
    return before


def readiness_of(split: Split) -> Readiness:
    return _check(split)
