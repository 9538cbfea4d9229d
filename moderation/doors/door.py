"""What all doors of moderation share, and the REST door."""

from abc import abstractmethod
from functools import partial
from typing import Any, Protocol

import orjson
from django.conf import settings
from django.http import HttpResponse

from inference.doors.entry import LOOP_BYTES, ReceivedRequest, receive_body
from inference.doors.errors import UnsupportedBody
from inference.doors.memory import MemoryHolding, hold_rows, parsed_bytes
from inference.doors.rest.bodies import BodyKind, kind_of, read_fields
from inference.doors.wire import Environ, HttpReply, IncomingRequest, read_deadline_s
from inference.engine.loop import complete
from inference.serving import runtime
from inference.serving.calls import DEADLINE_S
from inference.serving.off_loop import off_loop
from moderation.deciding.contents import Content, is_list, read_contents
from moderation.deciding.policy_table import PublishedPolicy
from moderation.deciding.services import Decided, decide_contents
from registry.access.key_ring import Principal
from registry.kit.compute_lock import compute_lock

_COPIES = 3  # of a body of base64 or of a form, while it is read
JSON_HEADERS = [("Content-Type", "application/json")]


class ModerationDoor(Protocol):
    """One protocol in which contents are moderated."""

    def longest_body(self, environ: Environ) -> int:
        """How many bytes are accepted; raises if this kind of body is not accepted at all."""

    def parsed_bytes(self, environ: Environ, body: bytes) -> int:
        """An upper bound on the parsed body's memory."""

    def is_long(self, environ: Environ, body: bytes) -> bool:
        """Whether reading the body would block the loop for too long."""

    async def answer(
        self, environ: Environ, body: bytes, by: Principal, holding: MemoryHolding
    ) -> HttpReply: ...

    def render_problem(self, problem: HttpResponse) -> HttpResponse:
        """An API problem in this door's format."""


class JsonDoor:
    """A door whose bodies are JSON."""

    def longest_body(self, environ: Environ) -> int:
        return int(settings.PREDICT_BINARY_BYTES)  # pictures are base64 in it

    def parsed_bytes(self, environ: Environ, body: bytes) -> int:
        return parsed_bytes(body) + len(body)

    def is_long(self, environ: Environ, body: bytes) -> bool:
        return len(body) > LOOP_BYTES

    async def answer(self, environ: Environ, body: bytes, by: Principal, holding: MemoryHolding) -> HttpReply:
        read = partial(self.read, environ, body)
        asked = await off_loop(read) if self.is_long(environ, body) else read()
        decided = await decide_contents(
            asked.contents,
            by=by,
            policy=self.choose_policy(asked, by),
            within_s=read_deadline_s(environ) or DEADLINE_S,
            hold=partial(hold_rows, holding),
        )
        return self.write(asked, decided)

    def render_problem(self, problem: HttpResponse) -> HttpResponse:
        return problem

    def choose_policy(self, asked: "Asked", by: Principal) -> PublishedPolicy | None:
        """The policy that decides about all contents of the request; None: each content's own."""
        return None

    @abstractmethod
    def read(self, environ: Environ, body: bytes) -> "Asked":
        """The contents of a request."""

    @abstractmethod
    def write(self, asked: "Asked", decided: list[Decided]) -> HttpReply:
        """The answer about them."""


class Asked:
    """The contents of a request, and what its answer must know of it."""

    def __init__(self, contents: list[Content], fields: Any = None) -> None:
        self.contents, self.fields = contents, fields


class RestModerationDoor(JsonDoor):
    """JSON, or a picture: as the body, or in a form."""

    def longest_body(self, environ: Environ) -> int:
        if kind_of(environ) is BodyKind.BINARY:
            raise UnsupportedBody("Send JSON, a picture, or a form with a picture.")
        return super().longest_body(environ)

    def parsed_bytes(self, environ: Environ, body: bytes) -> int:
        return (
            super().parsed_bytes(environ, body) if kind_of(environ) is BodyKind.JSON else _COPIES * len(body)
        )

    def is_long(self, environ: Environ, body: bytes) -> bool:
        return kind_of(environ) is BodyKind.PARTS or super().is_long(environ, body)

    def read(self, environ: Environ, body: bytes) -> Asked:
        fields = read_fields(kind_of(environ), environ, body)
        return Asked(read_contents(fields), fields)

    def write(self, asked: Asked, decided: list[Decided]) -> HttpReply:
        answers = [one.answer() for one in decided]
        if is_list(asked.fields):
            return HttpReply(JSON_HEADERS, orjson.dumps({"decisions": answers}))
        headers = [*JSON_HEADERS, ("X-Request-ID", decided[0].decision.request_id)]
        return HttpReply(headers, orjson.dumps(answers[0]))


REST = RestModerationDoor()


async def moderate(
    door: ModerationDoor, environ: Environ, incoming: IncomingRequest, by: Principal
) -> HttpReply:
    """Answer one request on the loop. The caller ends its holding when the answer has been sent."""
    body = await receive_body(door, environ, incoming)
    return await door.answer(environ, body, by, incoming.holding)


def moderate_in_view(door: ModerationDoor, request: Any, by: Principal) -> HttpResponse:
    """The same answer, from the thread of a Django view."""
    incoming = ReceivedRequest(request)
    try:
        body = complete(receive_body(door, request.META, incoming))
        with compute_lock.released():
            reply = runtime.started().loop.wait_for(door.answer(request.META, body, by, incoming.holding))
        return HttpResponse(reply.body, headers=dict(reply.headers))
    finally:
        incoming.holding.end()
