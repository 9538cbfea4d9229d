"""Which versions are warm, and whether a waiting split may become current. The serving processes decide this."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum

from registry.catalogue.models import Model
from registry.kit.registrations import Registrations
from registry.traffic.models import Split


class ReadinessState(StrEnum):
    READY = "ready"
    WAIT = "wait"
    NEVER = "never"  # a version cannot be loaded: the split expires


@dataclass(frozen=True, slots=True)
class Readiness:
    state: ReadinessState
    sentence: str = ""


READY = Readiness(ReadinessState.READY)


def _always_ready(_split: Split) -> Readiness:
    return READY


def _all_warm(_model: Model, version_ids: Collection[int]) -> frozenset[int]:
    return frozenset(version_ids)


@dataclass(frozen=True, slots=True)
class ReadinessCheck:
    """What one kind of process knows about readiness. Both functions run in a transaction: database look-ups only."""

    readiness: Callable[[Split], Readiness] = _always_ready
    warm: Callable[[Model, Collection[int]], frozenset[int]] = _all_warm  # which of the versions are loaded


READINESS: Registrations[ReadinessCheck] = Registrations("readiness check")


def readiness_of(split: Split) -> Readiness:
    """Return the first result that is not ready, or READY if there is none."""
    for check in READINESS:
        readiness = check.readiness(split)
        if readiness.state is not ReadinessState.READY:
            return readiness
    return READY


def warm_among(model: Model, version_ids: Collection[int]) -> frozenset[int]:
    """Those of the given versions that can answer immediately."""
    return frozenset(version_ids).intersection(*(check.warm(model, version_ids) for check in READINESS))
