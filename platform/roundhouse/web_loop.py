"""Receives a web process's requests: the event loop answers predictions and probes, and Django answers the rest in threads."""

from functools import partial
from typing import Any, Protocol

from django.http import HttpResponse
from rest_framework import exceptions as drf

from inference.doors import entry, urls
from inference.doors.entry import predict
from inference.doors.request_counts import count_answer, count_turned_away
from inference.doors.urls import PredictionAddress
from inference.doors.wire import HttpReply
from inference.errors import LengthRequired
from inference.serving import runtime
from inference.serving.calls import ModelRequest
from inference.serving.off_loop import off_loop
from moderation.doors import urls as moderation_urls
from moderation.doors.door import ModerationDoor, moderate
from moderation.rights import ModerationRight
from registry.access import keys
from registry.access.authentication import STALE_HEADER
from registry.access.key_ring import Admitted
from registry.access.policies import Right, rights_of_scopes
from roundhouse import problems
from roundhouse.django_threads import DjangoThreads
from roundhouse.health import Probes
from roundhouse.middleware import id_for
from roundhouse.rsgi import MAX_PIECE_BYTES, FilePart, HeaderList, Visit, Visits, WebResponse, send
from roundhouse.spool import Spool

_CLOSE = ("Connection", "close")
_NO_SNIFFING = ("X-Content-Type-Options", "nosniff")


class _FailedRequest:
    """What an error response needs from a request."""

    def __init__(self, visit: Visit) -> None:
        self.META, self.path = visit.headers, visit.scope.path


class ProblemDoor(Protocol):
    """A door with a format of its own for problems."""

    def render_problem(self, problem: HttpResponse) -> HttpResponse: ...


class WebLoop:
    """Answers every request. All of it runs on the loop."""

    def __init__(self, visits: Visits, django: DjangoThreads, probes: Probes, spool: Spool) -> None:
        self._visits, self._django, self._probes, self._spool = visits, django, probes, spool
        self.is_leaving = False  # from then on, responses close their connections

    async def __call__(self, scope: Any, proto: Any) -> None:
        visit = self._visits.enter(scope, proto)
        try:
            response = await self._answer(visit)
            if self.is_leaving and _CLOSE not in response.headers:
                # Not added in place: all requests share a probe's response.
                response = response._replace(headers=[*response.headers, _CLOSE])
            send(proto, response)
        finally:
            visit.end()

    async def _answer(self, visit: Visit) -> WebResponse:
        scope = visit.scope
        path, method = scope.path, scope.method
        if method == "POST" and not scope.query_string:
            if (address := urls.resolve_prediction(path)) is not None:
                return await self._predict(visit, address)
            if (door := moderation_urls.door_at(path)) is not None:
                return await self._moderate(visit, door)
        if method in {"GET", "HEAD"} and (probe := self._probes.answer(path, scope.query_string)) is not None:
            return probe
        try:
            return await self._django.answer(visit)
        except Exception as error:  # noqa: BLE001 (the caller always gets a response)
            return await self._error_response(visit, error)

    async def _predict(self, visit: Visit, address: PredictionAddress) -> WebResponse:
        stale_s = 0
        asked: ModelRequest | None = None
        try:
            by, stale_s = await self._admit(visit, Right.PREDICT)
            asked = address.door.model_request(by, address.model, address.version, address.alias, visit)
            _check_has_length(visit)
            visit.may_be_withdrawn = True
            reply = await predict(address.door, visit.headers, visit, asked)
            response = await self._response(reply, stale_s)
        except Exception as error:  # noqa: BLE001
            if asked is not None:
                count_turned_away(asked, error)
            return await self._error_response(visit, error, address.door, stale_s)
        count_answer(asked)
        return response

    async def _moderate(self, visit: Visit, door: ModerationDoor) -> WebResponse:
        stale_s = 0
        try:
            by, stale_s = await self._admit(visit, ModerationRight.MODERATE)
            _check_has_length(visit)
            return await self._response(await moderate(door, visit.headers, visit, by), stale_s)
        except Exception as error:  # noqa: BLE001
            return await self._error_response(visit, error, door, stale_s)

    async def _response(self, reply: HttpReply, stale_s: int) -> WebResponse:
        body: bytes | FilePart = reply.body
        if len(reply.body) > MAX_PIECE_BYTES:
            body = await off_loop(partial(self._spool.answer, [reply.body]))
        return WebResponse(200, [*reply.headers, *_common_headers(stale_s)], body)

    async def _admit(self, visit: Visit, right: str) -> Admitted:
        text = keys.sent_text(visit.headers)
        if text is None:
            raise drf.NotAuthenticated
        admitted = await entry.authenticate(text)
        if right not in rights_of_scopes(admitted.principal.scopes):
            raise drf.PermissionDenied
        return admitted

    async def _error_response(
        self, visit: Visit, error: Exception, door: ProblemDoor | None = None, stale_s: int = 0
    ) -> WebResponse:
        request: Any = _FailedRequest(visit)
        problem = problems.error_response(error, request)
        door = door or urls.door_below(visit.scope.path) or moderation_urls.door_below(visit.scope.path)
        if door is not None:
            problem = door.render_problem(problem)
        headers = [*problem.items(), ("X-Request-ID", id_for(request)), *_common_headers(stale_s)]
        if not await visit.drain():
            headers.append(_CLOSE)
        return WebResponse(problem.status_code, headers, problem.content)


def _check_has_length(visit: Visit) -> None:
    if visit.headers.get("HTTP_TRANSFER_ENCODING") is not None:
        raise LengthRequired


def _common_headers(key_stale_s: int) -> HeaderList:
    """Headers of every prediction and of every error response from the loop."""
    stale_s = max(runtime.stale_s(), key_stale_s)
    return [_NO_SNIFFING, (STALE_HEADER, str(stale_s))] if stale_s else [_NO_SNIFFING]
