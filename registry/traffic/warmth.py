"""Which versions are warm everywhere. Processes that serve tell; this room only asks."""

from collections.abc import Callable, Collection

from registry.catalogue.models import Model

Ask = Callable[[Model, Collection[int]], frozenset[int]]  # version ids -> those that can answer at once


def all_warm(_model: Model, version_ids: Collection[int]) -> frozenset[int]:
    """What holds until somebody reports which versions are warm."""
    return frozenset(version_ids)


_ask: Ask = all_warm


def register_warmth(ask: Ask) -> Ask:
    """Ask this function from now on; return the one asked before."""
    global _ask
    before, _ask = _ask, ask
    return before


def warm_among(model: Model, version_ids: Collection[int]) -> frozenset[int]:
    return _ask(model, version_ids)
