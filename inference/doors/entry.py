"""What all doors share: authentication, admission before anything is read, and answering on the loop or in a thread."""

from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from functools import cache, partial
from typing import Any, Protocol, TypeVar

import orjson
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from rest_framework.request import Request
from rest_framework.views import APIView

from inference.doors.limits.admission import Flight, admission
from inference.doors.memory import MemoryHolding, memory
from inference.doors.request_counts import counted
from inference.doors.wire import (
    Environ,
    HttpReply,
    IncomingRequest,
    check_length,
    content_encoding,
    read_exactly,
)
from inference.engine.loop import complete
from inference.engine.requests import Cancellation
from inference.serving import runtime, services
from inference.serving.calls import ModelRequest
from inference.serving.off_loop import WorkThreads, off_loop
from inference.serving.routes import Route, Target
from registry.access import keys
from registry.access.key_ring import Admitted, Principal

T = TypeVar("T")

# Reading a larger body, or writing a larger answer, would block the loop for too long.
LOOP_BYTES = 256 << 10

# Separate threads, so that callers with unknown keys do not delay other work.
_key_threads = WorkThreads("keys", 2, most_waiting=256, wait_s=5.0, takes_turns=False)


async def authenticate(key: str) -> Admitted:
    """The principal of an API key; raises NotAuthenticated. A key that is not cached is looked up in a thread."""
    cached = keys.recall(key)
    return cached if cached is not None else await _key_threads.run(partial(keys.admit, key))


async def admit(request: ModelRequest) -> tuple[Route, Target | None, Flight]:
    """The Model's route, the version that answers if that is known already, and a flight, which the caller must `end`.

    Called before the body is read. Call `begin` on the flight once the whole request has been received.
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
    """Answer an admitted request on the loop, or in a thread if it is long or a version is not in memory."""
    if is_long or not _are_known(route.owners if target is None else (target,)):
        return await off_loop(lambda: complete(answer()))
    return await answer()


def _are_known(targets: tuple[Target, ...]) -> bool:
    return all(map(runtime.started().is_known, targets))


class BodyRules(Protocol):
    """What must be known to receive a body."""

    def longest_body(self, environ: Environ) -> int:
        """How many bytes are accepted; raises if this kind of body is not accepted at all."""

    def parsed_bytes(self, environ: Environ, body: bytes) -> int:
        """An upper bound on the parsed body's memory; 0 if that is known only after unpacking."""

    def is_long(self, environ: Environ, body: bytes) -> bool:
        """Whether reading the body would block the loop for too long."""


class HttpDoor(BodyRules, Protocol):
    """One HTTP protocol for predictions."""

    is_counted: bool  # whether its requests are predictions, which are counted

    def model_request(
        self, by: Principal, model: str, version: str, alias: str, cancellation: Cancellation | None = None
    ) -> ModelRequest:
        """The request for an address; `version` and `alias` are empty if the address has none."""

    def name_model(self, request: ModelRequest, environ: Environ, body: bytes) -> None:
        """Complete a request whose address names no Model, from its body."""

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


class ModelDoor:
    """What doors share whose addresses name a Model, and a version or an alias if the caller wants one."""

    is_counted = True

    def model_request(
        self, by: Principal, model: str, version: str, alias: str, cancellation: Cancellation | None = None
    ) -> ModelRequest:
        return ModelRequest(by, model, int(version) if version else None, alias or None, cancellation)

    def name_model(self, request: ModelRequest, environ: Environ, body: bytes) -> None:
        """The address did."""


def short_problem(problem: HttpResponse, *, status: int) -> HttpResponse:
    """An API problem for clients that look for `error` in the body."""
    fields = orjson.loads(problem.content)
    body = {"error": fields["detail"], "code": fields["code"], "retryable": fields["retryable"]}
    response = HttpResponse(orjson.dumps(body), status=status, content_type="application/json")
    for header in ("Retry-After", "WWW-Authenticate"):
        if header in problem:
            response[header] = problem[header]
    return response


async def predict(
    door: HttpDoor, environ: Environ, incoming: IncomingRequest, request: ModelRequest
) -> HttpReply:
    """Answer one request. The loop awaits this and threads `complete` it; both give the same bytes.

    The caller counts the request, and ends its holding when the answer has been sent.
    """
    body = None
    if not request.model:
        body = await receive_body(door, environ, incoming)
        await _read(door, environ, body, partial(door.name_model, request, environ, body))
    route, target, flight = await admit(request)
    try:
        if body is None:
            body = await receive_body(door, environ, incoming)
        flight.begin()
        # A compressed body may be a thousand times as large once it is unpacked.
        is_long = door.is_long(environ, body) or bool(content_encoding(environ))
        answer = partial(door.answer, environ, body, request, route, target, incoming.holding)
        return await run_on_loop_or_thread(route, target, answer, is_long=is_long)
    finally:
        flight.end()


async def receive_body(door: BodyRules, environ: Environ, incoming: IncomingRequest) -> bytes:
    """The whole body, and the memory that it will need once it is parsed."""
    memory = incoming.holding.memory
    longest = min(door.longest_body(environ), memory.longest_body)
    body = await incoming.receive(check_length(environ.get("CONTENT_LENGTH") or "", longest))
    needed = await _read(door, environ, body, partial(door.parsed_bytes, environ, body))
    memory.check_body(needed)
    await incoming.hold(needed)
    return body


async def _read(door: BodyRules, environ: Environ, body: bytes, work: Callable[[], T]) -> T:
    return await off_loop(work) if door.is_long(environ, body) else work()


class ShortDispatch(APIView):
    """A view that answers POST with a finished HttpResponse, after the usual authentication, permissions and throttles.

    It skips the rest of DRF: negotiation, parsers, renderers and format suffixes cost more than a small model does, and
    stock clients send no reliable Accept or Content-Type.
    """

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method != "POST":
            return super().dispatch(request, *args, **kwargs)
        self.headers: dict[str, str] = {}
        self.request = Request(request, authenticators=self.get_authenticators())
        try:
            self.request._authenticate()  # type: ignore[attr-defined]  # `request.user` does the same with more steps
            self.check_permissions(self.request)
            self.check_throttles(self.request)
            response: HttpResponseBase = self.post(self.request, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 (as DRF does: the handler re-raises what it does not handle)
            response = self.handle_exception(error)
        stale_s = max(runtime.stale_s(), getattr(request, "stale_s", 0))
        request.stale_s = stale_s  # type: ignore[attr-defined]  # the middleware adds the header, as the loop does for its answers
        return response

    def get_authenticators(self) -> list[Any]:
        return _instances(tuple(self.authentication_classes))

    def get_permissions(self) -> list[Any]:
        return _instances(tuple(self.permission_classes))

    def post(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        raise NotImplementedError


@cache
def _instances(kinds: tuple[type, ...]) -> list[Any]:
    """All requests share these objects, because they keep no state."""
    return [kind() for kind in kinds]


def answer_from_view(door: HttpDoor, request: Request, model_request: ModelRequest) -> HttpResponse:
    """The door's answer, from the thread of a view."""
    incoming = ReceivedRequest(request._request)
    try:
        with counted(model_request) if door.is_counted else nullcontext():
            reply = complete(predict(door, request._request.META, incoming, model_request))
            return HttpResponse(reply.body, headers=dict(reply.headers))
    finally:
        incoming.holding.end()


class ReceivedRequest:
    """A request whose body has arrived already, in memory or in a file."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self.holding = MemoryHolding(memory)

    async def receive(self, length: int) -> bytes:
        self.holding.add(length)
        return read_exactly(self._request.read, length)

    async def hold(self, nbytes: int) -> None:
        self.holding.add(nbytes)
