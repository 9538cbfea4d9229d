"""What the HTTP doors share: a body is received within limits, and answered where that holds nobody up."""

from typing import Protocol

from django.http import HttpResponse

from inference.doors.asking import Asked, ask
from inference.doors.wire import Environ, Receive, Reply, check_length, packing_of
from inference.engine.loop import complete
from inference.serving import runtime
from inference.serving.off_loop import off_loop
from inference.serving.routes import Route
from registry.access.key_ring import Principal

# Reading a larger body, or writing a larger answer, would keep the loop from everybody else for too long.
LOOP_BYTES = 256 << 10


class HttpDoor(Protocol):
    """One way of asking for predictions over HTTP."""

    def asked(self, by: Principal, model: str, version: str, alias: str) -> Asked:
        """Whom the address names; version and alias are empty where it names none."""

    def longest_body(self, environ: Environ) -> int:
        """How many bytes are read; raises where this kind of body is not read at all."""

    async def answer(self, environ: Environ, body: bytes, asked: Asked, route: Route) -> Reply: ...

    def say(self, problem: HttpResponse) -> HttpResponse:
        """An API problem as this door's callers know it."""


async def predict(door: HttpDoor, environ: Environ, receive: Receive, asked: Asked) -> Reply:
    """Answer one request: a task of the loop awaits it, a thread `complete`s it. Both give the same bytes."""

    async def body() -> bytes:
        return await receive(check_length(environ.get("CONTENT_LENGTH") or "", door.longest_body(environ)))

    async def answer(route: Route, given: bytes) -> Reply:
        # What is packed may be a thousand times as long.
        if len(given) > LOOP_BYTES or packing_of(environ) or not _is_at_hand(asked, route):
            return await off_loop(lambda: complete(door.answer(environ, given, asked, route)))
        return await door.answer(environ, given, asked, route)

    return await ask(asked, body, answer)


def _is_at_hand(asked: Asked, route: Route) -> bool:
    target = route.foregone(version=asked.version, alias=asked.alias)
    return runtime.started().are_at_hand(route.owners if target is None else (target,))
