"""The way in that all doors share: whether this caller may ask this Model now, before anything is read."""

from typing import NamedTuple

from inference.doors.limits import Flight, gate
from inference.engine.requests import Cancellation
from inference.serving import services
from inference.serving.routes import Route, Target
from registry.access.key_ring import Principal


class Asked(NamedTuple):
    """Who asks whom. `cancellation` withdraws the request when its caller has gone."""

    by: Principal
    model: str
    version: int | None = None
    alias: str | None = None
    cancellation: Cancellation | None = None


async def let_in(asked: Asked) -> tuple[Route, Target | None, Flight]:
    """Find the Model and pass the gate: its route, who will answer where that is known already, and a flight to `end`.

    Whoever is refused has not been read. Once all of a request is here its flight begins.
    """
    route, target = services.find(asked.by, asked.model, version=asked.version, alias=asked.alias)
    return route, target, await gate.enter(asked.by, route)
