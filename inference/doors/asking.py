"""The way in that all doors share: whether this caller may ask this Model now, before anything is read."""

from collections.abc import Callable
from typing import TypeVar

from inference.doors.limits import gate
from inference.serving import services
from inference.serving.routes import Route
from registry.access.key_ring import Principal

T = TypeVar("T")


def ask(
    by: Principal,
    model: str,
    answer: Callable[[Route], T],
    *,
    version: int | None = None,
    alias: str | None = None,
) -> T:
    """Find the Model, take a place within the limits, and answer; whoever is refused has read no body."""
    route = services.find(by, model, version=version, alias=alias)
    gate.enter(by, route)
    try:
        return answer(route)
    finally:
        gate.leave(by, route)
