"""Inference requests over HTTP: what the protocol's clients send, and how they are told what went wrong."""

import orjson
from django.http import HttpResponse

from inference.doors.asking import LOOP_BYTES, Asked
from inference.doors.memory import Holding, hold_answer
from inference.doors.oip import bodies, codec, describing
from inference.doors.oip.conf import limits
from inference.doors.oip.messages import InferRequest, Terms, terms_of
from inference.doors.wire import Environ, Reply, read_deadline_s, read_routing_key
from inference.engine.requests import Cancellation
from inference.serving import services
from inference.serving.calls import Call
from inference.serving.off_loop import off_loop
from inference.serving.routes import Route, Target
from registry.access.key_ring import Principal


class OipDoor:
    def asked(
        self, by: Principal, model: str, version: str, alias: str, cancellation: Cancellation | None = None
    ) -> Asked:
        return Asked(by, *describing.parse_name(model, version), cancellation)

    def longest_body(self, environ: Environ) -> int:
        return bodies.longest(environ, limits())

    def parsed_bytes(self, environ: Environ, body: bytes) -> int:
        return bodies.parsed_bytes(environ, body)

    async def answer(
        self,
        environ: Environ,
        body: bytes,
        asked: Asked,
        route: Route,
        target: Target | None,
        holding: Holding,
    ) -> Reply:
        request = codec.read_infer(environ, body, limits(), holding)
        prediction = await services.predict(call_for(request, environ, asked, route, target))
        hold_answer(holding, prediction.nbytes, codec.written_bytes(request, prediction))
        accepted = environ.get("HTTP_ACCEPT_ENCODING", "")
        if prediction.nbytes > LOOP_BYTES:
            return await off_loop(lambda: codec.write_infer(request, prediction, accepted=accepted))
        return codec.write_infer(request, prediction, accepted=accepted)

    def say(self, problem: HttpResponse) -> HttpResponse:
        """The protocol knows one status for what a caller did wrong."""
        told = orjson.loads(problem.content)
        body = {"error": told["detail"], "code": told["code"], "retryable": told["retryable"]}
        status = 400 if problem.status_code == 422 else problem.status_code
        response = HttpResponse(orjson.dumps(body), status=status, content_type="application/json")
        for header in ("Retry-After", "WWW-Authenticate"):
            if header in problem:
                response[header] = problem[header]
        return response


OIP = OipDoor()


def call_for(
    request: InferRequest, environ: Environ, asked: Asked, route: Route, target: Target | None
) -> Call:
    terms = terms_of(request.parameters, within_s=read_deadline_s(environ))
    return call_of(request, terms, asked, route, target, routing_key=read_routing_key(environ))


def call_of(
    request: InferRequest,
    terms: Terms,
    asked: Asked,
    route: Route,
    target: Target | None,
    *,
    routing_key: str | None,
) -> Call:
    """The request as serving takes it, whatever brought it."""
    return Call(
        by=asked.by,
        route=route,
        version=asked.version,
        alias=asked.alias,
        foregone=target,
        inputs=request.inputs,
        outputs=request.output_names,
        routing_key=routing_key,
        fields=request.parameters,
        within_s=terms.within_s,
        priority=terms.priority,
        cancellation=asked.cancellation,
    )
