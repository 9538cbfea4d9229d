"""What the HTTP doors share: a body is received within limits, and answered where that holds nobody up."""

from functools import partial
from typing import Protocol

from django.http import HttpResponse

from inference.doors.asking import LOOP_BYTES, Asked, answered, let_in
from inference.doors.wire import Environ, Receive, Reply, check_length, packing_of
from inference.engine.requests import Cancellation
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

    async def answer(
        self, environ: Environ, body: bytes, asked: Asked, route: Route, target: Target | None
    ) -> Reply: ...

    def say(self, problem: HttpResponse) -> HttpResponse:
        """An API problem as this door's callers know it."""


async def predict(door: HttpDoor, environ: Environ, receive: Receive, asked: Asked) -> Reply:
    """Answer one request: a task of the loop awaits it, a thread `complete`s it. Both give the same bytes."""
    route, target, flight = await let_in(asked)
    try:
        body = await receive(check_length(environ.get("CONTENT_LENGTH") or "", door.longest_body(environ)))
        flight.begin()
        # What is packed may be a thousand times as long.
        is_long = len(body) > LOOP_BYTES or bool(packing_of(environ))
        answer = partial(door.answer, environ, body, asked, route, target)
        return await answered(route, target, answer, is_long=is_long)
    finally:
        flight.end()
