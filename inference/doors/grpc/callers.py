"""How a call is received and answered on the loop, and what it says beside its message: who asks, and until when."""

import asyncio
import inspect
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from inference.doors.asking import LOOP_BYTES, admitted
from inference.doors.grpc.codes import refusal_for
from inference.doors.grpc.message_size import NO_FIELDS, Fields, parsed_bytes
from inference.doors.memory import Holding, memory
from inference.doors.oip.errors import BadRequest
from inference.engine.loop import complete
from inference.engine.requests import Cancellation
from inference.serving import runtime
from inference.serving.off_loop import off_loop
from registry.access.authentication import STALE_HEADER
from registry.access.key_ring import Principal
from registry.access.policies import Right, rights_of_scopes
from registry.errors import NotAllowed, NotAuthenticated

Context: TypeAlias = "grpc.aio.ServicerContext"


class Caller:
    """The context of one call."""

    by: Principal

    def __init__(self, context: Context) -> None:
        self.holding = Holding(memory)
        self._context = context
        self._stale_s = 0
        self.metadata: dict[str, Any] = dict(context.invocation_metadata())
        self.cancellation = Cancellation()  # withdraws the request from the engine's queue

    async def admit(self, *rights: Right) -> None:
        """Find out whose key this is; it must carry one of these rights."""
        scheme, _, text = str(self.metadata.get("authorization", "")).partition(" ")
        if scheme.lower() != "bearer":
            raise NotAuthenticated(
                "A valid API key is needed: metadata `authorization`, value `Bearer <key>`."
            )
        self.by, self._stale_s = await admitted(text.strip())
        if rights_of_scopes(self.by.scopes).isdisjoint(rights):
            raise NotAllowed(f"The key {self.by.name!r} lacks the right to {rights[0].replace('_', ' ')}.")

    @property
    def within_s(self) -> float | None:
        """Until the call's deadline; None when it has none."""
        left_s: float | None = self._context.time_remaining()
        return left_s

    def tell(self, request_id: str) -> None:
        """Say which prediction this was, and how old the routes and rights are that it came from."""
        trailing = [("x-request-id", request_id)]
        stale_s = max(self._stale_s, runtime.stale_s())
        if stale_s:
            trailing.append((STALE_HEADER.lower(), str(stale_s)))
        self._context.set_trailing_metadata(tuple(trailing))


Answer = Callable[[Any, Caller], Any]


def unary(answer: Answer, message: Any, *rights: Right, fields: Fields = NO_FIELDS) -> grpc.RpcMethodHandler:
    """Make a handler of a function of message and caller, which ends in an answer or a status.

    A coroutine function is run on the loop, or in a thread where its message is long; a plain one may ask the database,
    and is always run in a thread. Without rights a call needs no key.
    """

    async def handle(_: object, context: Context) -> bytes:
        caller = Caller(context)
        context.add_done_callback(lambda _: caller.holding.end())  # when the answer has been sent
        try:
            if rights:
                await caller.admit(*rights)
            # Only now is it received: whoever is refused fills no memory.
            raw = await context.read()
            request = parse(message, raw, fields, caller.holding)
            response = await run(answer, request, caller, is_long=len(raw) > LOOP_BYTES)
            return bytes(response.SerializeToString())
        except Exception as error:  # noqa: BLE001 (whatever it is, the caller is owed a status)
            await refuse(context, error)
            return b""

    # To gRPC it is a stream of requests, which it leaves to us to read; on the wire there is no difference.
    return grpc.stream_unary_rpc_method_handler(handle)


async def run(answer: Answer, request: Any, caller: Caller, *, is_long: bool) -> Any:
    """Answer where that holds nobody up. A caller who hangs up is withdrawn."""
    try:
        if not inspect.iscoroutinefunction(answer):
            return await off_loop(partial(answer, request, caller))
        if is_long:
            return await off_loop(lambda: complete(answer(request, caller)))
        return await answer(request, caller)
    except asyncio.CancelledError:
        caller.cancellation.cancel()
        raise


def parse(message: Any, raw: Any, fields: Fields, holding: Holding) -> Any:
    """Parse a message, once there is room for it."""
    if raw is grpc.aio.EOF:
        raise BadRequest("The call has no message.")
    needed = parsed_bytes(raw, fields)
    holding.memory.check_body(needed)
    holding.add(len(raw) + needed)
    try:
        return message.FromString(raw)
    except DecodeError:
        raise BadRequest(f"The message is no {message.DESCRIPTOR.full_name}.") from None


async def refuse(context: Context, error: Exception) -> None:
    """End a call with an error's status. Returns only where its caller has hung up."""
    refused = refusal_for(error)
    with suppress(grpc.aio.InternalError):
        await context.abort(refused.code, refused.text, (("x-error-code", refused.word),))
