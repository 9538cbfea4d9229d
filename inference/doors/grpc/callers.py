"""What a call says beside its message: who asks, until when, and for which Model."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db import close_old_connections
from google.protobuf.message import DecodeError
from grpc import RpcMethodHandler, ServicerContext, unary_unary_rpc_method_handler

from inference.doors.grpc.codes import refusal_for
from inference.doors.grpc.weighing import NO_FIELDS, Fields, parsed_bytes
from inference.doors.memory import Holding, memory
from inference.engine.requests import Cancellation
from inference.errors import BadBody
from inference.serving import runtime
from registry.access.key_ring import Principal
from registry.access.keys import admit
from registry.access.middleware import STALE_HEADER
from registry.access.policies import Right, actor_from_key
from registry.errors import NotAllowed, NotAuthenticated

Request = TypeVar("Request")
Response = TypeVar("Response")

_A_CENTURY_S = 3e9


class Caller:
    """The context of one call."""

    def __init__(self, context: ServicerContext, holding: Holding) -> None:
        self._context = context
        self.holding = holding
        self._stale_s = 0
        self.metadata: Mapping[str, str] = dict(context.invocation_metadata())

    def admitted(self, *rights: Right) -> Principal:
        """Return whose key this is, if it carries one of these rights."""
        scheme, _, text = str(self.metadata.get("authorization", "")).partition(" ")
        if scheme.lower() != "bearer":
            raise NotAuthenticated(
                "A valid API key is needed: metadata `authorization`, value `Bearer <key>`."
            )
        principal, self._stale_s = admit(text.strip())
        if actor_from_key(principal).rights.isdisjoint(rights):
            raise NotAllowed(f"The key {principal.name!r} lacks the right to {rights[0].replace('_', ' ')}.")
        return principal

    @property
    def within_s(self) -> float | None:
        """Until the call's deadline; None when it has none."""
        left_s: float | None = self._context.time_remaining()
        return left_s if left_s is not None and left_s < _A_CENTURY_S else None

    def cancellation(self) -> Cancellation:
        """Withdraws the request from the engine's queue when the caller hangs up."""
        cancellation = Cancellation()
        if not self._context.add_callback(cancellation.cancel):
            cancellation.cancel()  # the call has ended already
        return cancellation

    def tell(self, request_id: str) -> None:
        """Say which prediction this was, and how old the routes and rights are that it came from."""
        trailing = [("x-request-id", request_id)]
        stale_s = max(self._stale_s, runtime.stale_s())
        if stale_s:
            trailing.append((STALE_HEADER.lower(), str(stale_s)))
        self._context.set_trailing_metadata(tuple(trailing))


def answering(
    answer: Callable[[Request, Caller], Response], message: type[Request], fields: Fields = NO_FIELDS
) -> RpcMethodHandler:
    """Turn a function of message and caller into a handler that ends in an answer or a status."""

    def handle(raw: bytes, context: ServicerContext) -> bytes:
        holding = Holding(memory)
        if not context.add_callback(holding.end):  # called when the answer has been sent
            holding.end()
        with database_thread():
            try:
                return serialize(answer(read(raw, message, fields, holding), Caller(context, holding)))
            except Exception as error:  # noqa: BLE001 (whatever it is, the caller is owed a status)
                refused = refusal_for(error)
        context.set_trailing_metadata((("x-error-code", refused.word),))
        context.abort(refused.code, refused.text)
        raise AssertionError("abort returned")

    return unary_unary_rpc_method_handler(handle)


def read(raw: bytes, message: type[Request], fields: Fields, holding: Holding) -> Request:
    """Parse a message, once there is room for it."""
    needed = parsed_bytes(raw, fields)
    holding.memory.check_body(needed)
    holding.add(len(raw) + needed)
    try:
        request: Request = message.FromString(raw)  # type: ignore[attr-defined]
    except DecodeError:
        raise BadBody("The message cannot be read: it is not what this call takes.") from None
    return request


def serialize(message: Any) -> bytes:
    raw: bytes = message.SerializeToString()
    return raw


@contextmanager
def database_thread() -> Iterator[None]:
    """The pool's threads are not Django's: nobody else looks after their connections."""
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()


Handler = Callable[[Any, ServicerContext], Any]
