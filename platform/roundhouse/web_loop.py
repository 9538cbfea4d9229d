"""The one way in of a web process: its event loop answers predictions and probes, Django the rest in threads."""

from functools import partial
from typing import Any

from rest_framework import exceptions as drf

from inference.doors import entry, urls
from inference.doors.entry import predict
from inference.doors.oip.door import OIP
from inference.doors.urls import PredictionAddress
from inference.errors import LengthRequired
from inference.serving import runtime
from inference.serving.off_loop import off_loop
from registry.access import keys
from registry.access.key_ring import Admitted
from registry.access.middleware import STALE_HEADER
from registry.access.policies import Right, rights_of_scopes
from roundhouse import problems
from roundhouse.django_threads import DjangoThreads
from roundhouse.health import Probes
from roundhouse.request_ids import id_for
from roundhouse.rsgi import LARGEST_PIECE, Answer, FilePart, HeaderList, Underway, Visit, send
from roundhouse.spool import Spool

_CLOSE = ("Connection", "close")
_NO_SNIFFING = ("X-Content-Type-Options", "nosniff")


class _Request:
    """What an error's answer needs to know of a request."""

    def __init__(self, visit: Visit) -> None:
        self.META, self.path = visit.headers, visit.scope.path


class WebLoop:
    """Answers each request, whoever does the work. All of it lives on the loop."""

    def __init__(self, underway: Underway, django: DjangoThreads, probes: Probes, spool: Spool) -> None:
        self._underway, self._django, self._probes, self._spool = underway, django, probes, spool
        self.is_leaving = False  # answers are the last of their connections from then on

    async def __call__(self, scope: Any, proto: Any) -> None:
        visit = self._underway.enter(scope, proto)
        try:
            answer = await self._answer(visit)
            if self.is_leaving and _CLOSE not in answer.headers:
                # Not added in place: a probe's answer is for all of them.
                answer = answer._replace(headers=[*answer.headers, _CLOSE])
            send(proto, answer)
        finally:
            visit.end()

    async def _answer(self, visit: Visit) -> Answer:
        scope = visit.scope
        path, method = scope.path, scope.method
        if (
            method == "POST"
            and not scope.query_string
            and (address := urls.resolve_prediction(path)) is not None
        ):
            return await self._predict(visit, address)
        if (
            method in {"GET", "HEAD"}
            and (probed := self._probes.answer(path, scope.query_string)) is not None
        ):
            return probed
        try:
            return await self._django.answer(visit)
        except Exception as error:  # noqa: BLE001 (whatever it is, the caller is owed an answer)
            return await self._refusal(visit, error)

    async def _predict(self, visit: Visit, address: PredictionAddress) -> Answer:
        stale_s = 0
        try:
            if visit.headers.get("HTTP_TRANSFER_ENCODING") is not None:
                raise LengthRequired
            by, stale_s = await self._admitted(visit)
            asked = address.door.model_request(by, address.model, address.version, address.alias, visit)
            visit.may_be_withdrawn = True
            reply = await predict(address.door, visit.headers, visit, asked)
            body: bytes | FilePart = reply.body
            if len(reply.body) > LARGEST_PIECE:
                body = await off_loop(partial(self._spool.answer, [reply.body]))
        except Exception as error:  # noqa: BLE001
            return await self._refusal(visit, error, address, stale_s)
        return Answer(200, [*reply.headers, *_closing(stale_s)], body)

    async def _admitted(self, visit: Visit) -> Admitted:
        text = keys.sent_text(visit.headers)
        if text is None:
            raise drf.NotAuthenticated
        admitted = await entry.authenticate(text)
        if Right.PREDICT not in rights_of_scopes(admitted.principal.scopes):
            raise drf.PermissionDenied
        return admitted

    async def _refusal(
        self, visit: Visit, error: Exception, address: PredictionAddress | None = None, stale_s: int = 0
    ) -> Answer:
        request: Any = _Request(visit)
        problem = problems.answer_to(error, request)
        if address is not None or visit.scope.path.startswith("/v2/"):
            problem = (address.door if address is not None else OIP).render_problem(problem)
        headers = [*problem.items(), ("X-Request-ID", id_for(request)), *_closing(stale_s)]
        if not await visit.take_rest():
            headers.append(_CLOSE)
        return Answer(problem.status_code, headers, problem.content)


def _closing(key_stale_s: int) -> HeaderList:
    """What every answer of the loop says, whoever made it."""
    stale_s = max(runtime.stale_s(), key_stale_s)
    return [_NO_SNIFFING, (STALE_HEADER, str(stale_s))] if stale_s else [_NO_SNIFFING]
