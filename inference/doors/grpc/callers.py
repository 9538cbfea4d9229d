"""How a call is received and answered on the loop: its key, its deadline, its message, its errors."""

import asyncio
import inspect
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from inference.doors.entry import LOOP_BYTES, authenticate
from inference.doors.errors import BadRequest
from inference.doors.grpc.codes import refusal_for
from inference.doors.grpc.messages import NO_FIELDS, Fields, parsed_bytes
from inference.doors.memory import MemoryHolding, memory
from inference.doors.oip.door import request_named
from inference.doors.request_counts import count_answer, count_turned_away
from inference.engine.loop import complete
from inference.engine.requests import Cancellation
from inference.serving import runtime
from inference.serving.calls import ModelRequest
from inference.serving.off_loop import off_loop
from registry.access.authentication import STALE_HEADER
from registry.access.key_ring import Principal
from registry.access.policies import Right, rights_of_scopes
from registry.errors import NotAllowed, NotAuthenticated

Context: TypeAlias = "grpc.aio.ServicerContext"


class Caller:
    """One call: its principal, its metadata, and the memory that it holds."""

    by: Principal

    def __init__(self, context: Context) -> None:
        self.holding = MemoryHolding(memory)
        self._context = context
        self._stale_s = 0
        self.metadata: dict[str, Any] = dict(context.invocation_metadata())
        self.cancellation = Cancellation()  # withdraws the request from the engine's queue
        self._request: ModelRequest | None = None  # the one that is being answered

    async def authenticate(self, *rights: Right) -> None:
        """Look up the call's key, which must have one of these rights."""
        scheme, _, text = str(self.metadata.get("authorization", "")).partition(" ")
        if scheme.lower() != "bearer":
            raise NotAuthenticated(
                "A valid API key is needed: metadata `authorization`, value `Bearer <key>`."
            )
        self.by, self._stale_s = await authenticate(text.strip())
        if rights_of_scopes(self.by.scopes).isdisjoint(rights):
            raise NotAllowed(f"The key {self.by.name!r} lacks the right to {rights[0].replace('_', ' ')}.")

    def ask(self, name: str, version: str) -> ModelRequest:
        """Begin a request for a prediction. A call may make several, one after the other; each is counted."""
        self.count_answer()
        self._request = request_named(self.by, name, version, self.cancellation)
        return self._request

    def count_answer(self) -> None:
        request, self._request = self._request, None
        if request is not None:
            count_answer(request)

    def count_turned_away(self, error: Exception) -> None:
        request, self._request = self._request, None
        if request is not None:
            count_turned_away(request, error)

    @property
    def within_s(self) -> float | None:
        """The time until the call's deadline; None without one."""
        left_s: float | None = self._context.time_remaining()
        return left_s

    def set_request_id(self, request_id: str) -> None:
        """Send the prediction's id, and the age of the routes and rights if they are stale."""
        trailing = [("x-request-id", request_id)]
        stale_s = max(self._stale_s, runtime.stale_s())
        if stale_s:
            trailing.append((STALE_HEADER.lower(), str(stale_s)))
        self._context.set_trailing_metadata(tuple(trailing))


Answer = Callable[[Any, Caller], Any]


def unary(answer: Answer, message: Any, *rights: Right, fields: Fields = NO_FIELDS) -> grpc.RpcMethodHandler:
    """A handler that runs `answer` with the message and the caller, and sends its result or an error status.

    A coroutine function runs on the loop, or in a thread if its message is long. A plain function may use the database and
    always runs in a thread. Without rights, a call needs no key.
    """

    async def handle(_: object, context: Context) -> bytes:
        caller = Caller(context)
        context.add_done_callback(lambda _: caller.holding.end())  # when the answer has been sent
        try:
            if rights:
                await caller.authenticate(*rights)
            # The message is received only now, so that a refused call takes no memory.
            raw = await context.read()
            request = parse(message, raw, fields, caller.holding)
            response = await run(answer, request, caller, is_long=len(raw) > LOOP_BYTES)
            written = bytes(response.SerializeToString())
        except Exception as error:  # noqa: BLE001 (the caller gets a status in any case)
            caller.count_turned_away(error)
            await refuse(context, error)
            return b""
        caller.count_answer()
        return written

    # Declared as a stream of requests, so that we can read the message ourselves; on the wire there is no difference.
    return grpc.stream_unary_rpc_method_handler(handle)


async def run(answer: Answer, request: Any, caller: Caller, *, is_long: bool) -> Any:
    """Run the answer on the loop or in a thread. If the caller hangs up, the request is withdrawn."""
    try:
        if not inspect.iscoroutinefunction(answer):
            return await off_loop(partial(answer, request, caller))
        if is_long:
            return await off_loop(lambda: complete(answer(request, caller)))
        return await answer(request, caller)
    except asyncio.CancelledError:
        caller.cancellation.cancel()
        raise


def parse(message: Any, raw: Any, fields: Fields, holding: MemoryHolding) -> Any:
    """Parse a message, if there is memory for it."""
    if raw is grpc.aio.EOF:
        raise BadRequest("The call has no message.")
    needed = parsed_bytes(raw, fields)
    holding.memory.check_body(needed)
    holding.add(len(raw) + needed)
    try:
        return message.FromString(raw)
    except DecodeError:
        raise BadRequest(f"The message is not a valid {message.DESCRIPTOR.full_name}.") from None


async def refuse(context: Context, error: Exception) -> None:
    """End a call with an error's status. Returns only if the caller has hung up."""
    refusal = refusal_for(error)
    with suppress(grpc.aio.InternalError):
        await context.abort(refusal.code, refusal.text, (("x-error-code", refusal.error_code),))
