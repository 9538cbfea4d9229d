"""What all doors share: authentication, admission before anything is read, and answering on the loop or in a thread."""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

from django.http import HttpResponse

from inference.doors.limits.admission import Flight, admission
from inference.doors.memory import MemoryHolding
from inference.doors.wire import Environ, HttpReply, IncomingRequest, check_length, content_encoding
from inference.engine.loop import complete
from inference.engine.requests import Cancellation
from inference.serving import runtime, services
from inference.serving.off_loop import WorkThreads, off_loop
from inference.serving.routes import Route, Target
from registry.access import keys
from registry.access.key_ring import Admitted, Principal

T = TypeVar("T")

# Reading a larger body, or writing a larger answer, would block the loop for too long.
LOOP_BYTES = 256 << 10

# Separate threads, so that callers with unknown keys delay no other work.
_key_threads = WorkThreads("keys", 2, most_waiting=256, wait_s=5.0, takes_turns=False)


class ModelRequest(NamedTuple):
    """Who requests which version. `cancellation` withdraws the request when its caller hangs up."""

    by: Principal
    model: str
    version: int | None = None
    alias: str | None = None
    cancellation: Cancellation | None = None


async def authenticate(key: str) -> Admitted:
    """The principal of an API key; raises NotAuthenticated. A key that is not cached is looked up in a thread."""
    cached = keys.recall(key)
    return cached if cached is not None else await _key_threads.run(partial(keys.admit, key))


async def admit(request: ModelRequest) -> tuple[Route, Target | None, Flight]:
    """The Model's route, the version that answers if that is known already, and a flight, which the caller must `end`.

    Called before the body is read. `begin` the flight when all of the request has been received.
    """
    route, target = services.find(request.by, request.model, version=request.version, alias=request.alias)
    return route, target, await admission.enter(request.by, route)


async def run_on_loop_or_thread(
    route: Route,
    target: Target | None,
    answer: Callable[[], Coroutine[Any, Any, T]],
    *,
    is_long: bool = False,
) -> T:
    """Answer an admitted request on the loop, or in a thread if it is long or a version's signature is not known."""
    if is_long or not _signatures_are_known(route.owners if target is None else (target,)):
        return await off_loop(lambda: complete(answer()))
    return await answer()


def _signatures_are_known(targets: tuple[Target, ...]) -> bool:
    return None not in map(runtime.started().executor.known_signature, targets)


class HttpDoor(Protocol):
    """One HTTP protocol for predictions."""

    def model_request(
        self, by: Principal, model: str, version: str, alias: str, cancellation: Cancellation | None = None
    ) -> ModelRequest:
        """What the address names; version and alias are empty if it names none."""

    def longest_body(self, environ: Environ) -> int:
        """How many bytes are accepted; raises if this kind of body is not accepted at all."""

    def parsed_bytes(self, environ: Environ, body: bytes) -> int:
        """An upper bound of the parsed body's memory; 0 if that is known only when it is unpacked."""

    async def answer(
        self,
        environ: Environ,
        body: bytes,
        request: ModelRequest,
        route: Route,
        target: Target | None,
        holding: MemoryHolding,
    ) -> HttpReply:
        """Memory beyond `parsed_bytes` is added to `holding` before it is used."""

    def render_problem(self, problem: HttpResponse) -> HttpResponse:
        """An API problem in this door's format."""


async def predict(
    door: HttpDoor, environ: Environ, incoming: IncomingRequest, request: ModelRequest
) -> HttpReply:
    """Answer one request. The loop awaits this and threads `complete` it; both give the same bytes.

    The caller ends the request's holding when the answer has been sent.
    """
    holding = incoming.holding
    route, target, flight = await admit(request)
    try:
        longest = min(door.longest_body(environ), holding.memory.longest_body)
        body = await incoming.receive(check_length(environ.get("CONTENT_LENGTH") or "", longest))
        is_large = len(body) > LOOP_BYTES
        if is_large:
            needed = await off_loop(partial(door.parsed_bytes, environ, body))
        else:
            needed = door.parsed_bytes(environ, body)
        holding.memory.check_body(needed)
        await incoming.hold(needed)
        flight.begin()
        # A compressed body may be a thousand times as large once it is unpacked.
        is_long = is_large or bool(content_encoding(environ))
        answer = partial(door.answer, environ, body, request, route, target, holding)
        return await run_on_loop_or_thread(route, target, answer, is_long=is_long)
    finally:
        flight.end()
