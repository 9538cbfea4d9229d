"""The way in that all doors share: whether this caller may ask this Model now, before anything is read."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from inference.doors.limits import gate
from inference.engine.requests import Cancellation
from inference.serving import services
from inference.serving.routes import Route
from registry.access.key_ring import Principal

Given = TypeVar("Given")
T = TypeVar("T")


class Asked(NamedTuple):
    """Who asks whom. `cancellation` withdraws the request when its caller has gone."""

    by: Principal
    model: str
    version: int | None = None
    alias: str | None = None
    cancellation: Cancellation | None = None


async def ask(
    asked: Asked,
    receive: Callable[[], Awaitable[Given]],
    answer: Callable[[Route, Given], Awaitable[T]],
) -> T:
    """Find the Model, pass the gate, receive what is asked, and answer; whoever is refused has not been read."""
    route = services.find(asked.by, asked.model, version=asked.version, alias=asked.alias)
    flight = await gate.enter(asked.by, route)
    try:
        given = await receive()
        flight.begin()
        return await answer(route, given)
    finally:
        flight.end()


async def nothing_more() -> None:
    """Of a request that is here already."""
