"""What all doors share: whether this caller may ask this Model now, before anything is read, and where it is answered."""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, NamedTuple, TypeVar

from inference.doors.limits import Flight, gate
from inference.engine.loop import complete
from inference.engine.requests import Cancellation
from inference.serving import runtime, services
from inference.serving.off_loop import WorkThreads, off_loop
from inference.serving.routes import Route, Target
from registry.access import keys
from registry.access.key_ring import Admitted, Principal

T = TypeVar("T")

# Reading a larger body, or writing a larger answer, would keep the loop from everybody else for too long.
LOOP_BYTES = 256 << 10

# Of their own: whoever sends keys that nobody knows keeps no other work waiting.
_key_threads = WorkThreads("keys", 2, most_waiting=256, wait_s=5.0, takes_turns=False)


class Asked(NamedTuple):
    """Who asks whom. `cancellation` withdraws the request when its caller has gone."""

    by: Principal
    model: str
    version: int | None = None
    alias: str | None = None
    cancellation: Cancellation | None = None


async def admitted(key: str) -> Admitted:
    """Whom a key's full text stands for; raises NotAuthenticated. A key that is not remembered is looked up in a thread."""
    remembered = keys.recall(key)
    return remembered if remembered is not None else await _key_threads.run(partial(keys.admit, key))


async def let_in(asked: Asked) -> tuple[Route, Target | None, Flight]:
    """Find the Model and pass the gate: its route, who will answer where that is known already, and a flight to `end`.

    Whoever is refused has not been read. Once all of a request is here its flight begins.
    """
    route, target = services.find(asked.by, asked.model, version=asked.version, alias=asked.alias)
    return route, target, await gate.enter(asked.by, route)


async def answered(
    route: Route,
    target: Target | None,
    answer: Callable[[], Coroutine[Any, Any, T]],
    *,
    is_long: bool = False,
) -> T:
    """Answer what has been let in: on the loop where that holds nobody up, else in a thread. A `long` request would."""
    if is_long or not _are_at_hand(route.owners if target is None else (target,)):
        return await off_loop(lambda: complete(answer()))
    return await answer()


def _are_at_hand(targets: tuple[Target, ...]) -> bool:
    return None not in map(runtime.started().at_hand, targets)
