"""What the HTTP doors share: a body is received within limits, and answered where that holds nobody up."""

from functools import partial
from typing import Protocol

from django.http import HttpResponse

from inference.doors.asking import LOOP_BYTES, Asked, answered, let_in
from inference.doors.memory import Holding
from inference.doors.wire import Environ, Incoming, Reply, check_length, packing_of
from inference.engine.requests import Cancellation
from inference.serving.off_loop import off_loop
from inference.serving.routes import Route, Target
from registry.access.key_ring import Principal


class HttpDoor(Protocol):
    """One way of asking for predictions over HTTP."""

    def asked(
        self, by: Principal, model: str, version: str, alias: str, cancellation: Cancellation | None = None
    ) -> Asked:
        """Whom the address names; version and alias are empty where it names none."""

    def longest_body(self, environ: Environ) -> int:
        """How many bytes are read; raises where this kind of body is not read at all."""

    def parsed_bytes(self, environ: Environ, body: bytes) -> int:
        """What the body takes once it is parsed, at most; 0 where that shows only when it is unpacked."""

    async def answer(
        self,
        environ: Environ,
        body: bytes,
        asked: Asked,
        route: Route,
        target: Target | None,
        holding: Holding,
    ) -> Reply:
        """What it holds beyond `parsed_bytes`, it counts in `holding` before."""

    def say(self, problem: HttpResponse) -> HttpResponse:
        """An API problem as this door's callers know it."""


async def predict(door: HttpDoor, environ: Environ, incoming: Incoming, asked: Asked) -> Reply:
    """Answer one request: a task of the loop awaits it, a thread `complete`s it. Both give the same bytes.

    Whoever handed it in ends its holding, when the answer is on its way.
    """
    holding = incoming.holding
    route, target, flight = await let_in(asked)
    try:
        longest = min(door.longest_body(environ), holding.memory.longest_body)
        body = await incoming.receive(check_length(environ.get("CONTENT_LENGTH") or "", longest))
        is_large = len(body) > LOOP_BYTES
        needed = (
            await off_loop(partial(door.parsed_bytes, environ, body))
            if is_large
            else door.parsed_bytes(environ, body)
        )
        holding.memory.check_body(needed)
        await incoming.hold(needed)
        flight.begin()
        # What is packed may be a thousand times as long.
        answer = partial(door.answer, environ, body, asked, route, target, holding)
        return await answered(route, target, answer, is_long=is_large or bool(packing_of(environ)))
    finally:
        flight.end()
