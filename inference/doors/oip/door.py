"""The protocol's inference requests over HTTP, and its errors."""

from functools import partial

from django.http import HttpResponse

from inference.doors.entry import LOOP_BYTES, ModelDoor, short_problem
from inference.doors.memory import MemoryHolding, hold_answer, hold_rows
from inference.doors.oip import bodies, codec, descriptions
from inference.doors.oip.messages import InferRequest, Terms, request_limits, terms_of
from inference.doors.request_counts import count_turned_away
from inference.doors.wire import Environ, HttpReply, read_deadline_s, read_routing_key
from inference.engine.requests import Cancellation
from inference.serving import services
from inference.serving.calls import Call, ModelRequest
from inference.serving.off_loop import off_loop
from inference.serving.routes import Route, Target
from registry.access.key_ring import Principal
from registry.errors import NotFound


class OipDoor(ModelDoor):
    def model_request(
        self, by: Principal, model: str, version: str, alias: str, cancellation: Cancellation | None = None
    ) -> ModelRequest:
        return request_named(by, model, version, cancellation)

    def longest_body(self, environ: Environ) -> int:
        return bodies.longest(environ, request_limits())

    def parsed_bytes(self, environ: Environ, body: bytes) -> int:
        return bodies.parsed_bytes(environ, body)

    def is_long(self, environ: Environ, body: bytes) -> bool:
        return len(body) > LOOP_BYTES

    async def answer(
        self,
        environ: Environ,
        body: bytes,
        request: ModelRequest,
        route: Route,
        target: Target | None,
        holding: MemoryHolding,
    ) -> HttpReply:
        message = codec.read_infer(environ, body, request_limits(), holding)
        prediction = await services.predict(call_for(message, environ, request, route, target, holding))
        hold_answer(holding, prediction.nbytes, codec.written_bytes(message, prediction))
        accepted = environ.get("HTTP_ACCEPT_ENCODING", "")
        if prediction.nbytes > LOOP_BYTES:
            return await off_loop(lambda: codec.write_infer(message, prediction, accepted=accepted))
        return codec.write_infer(message, prediction, accepted=accepted)

    def render_problem(self, problem: HttpResponse) -> HttpResponse:
        """The protocol has a single status for invalid requests."""
        return short_problem(problem, status=400 if problem.status_code == 422 else problem.status_code)


OIP = OipDoor()


def request_named(
    by: Principal, name: str, version: str, cancellation: Cancellation | None = None
) -> ModelRequest:
    """The request for a model as the protocol names it; a version that is not a number is counted as turned away."""
    try:
        return ModelRequest(by, *descriptions.parse_name(name, version), cancellation)
    except NotFound as error:
        count_turned_away(ModelRequest(by, name.partition("@")[0]), error)
        raise


def call_for(
    message: InferRequest,
    environ: Environ,
    request: ModelRequest,
    route: Route,
    target: Target | None,
    holding: MemoryHolding,
) -> Call:
    terms = terms_of(message.parameters, within_s=read_deadline_s(environ))
    return call_of(
        message, terms, request, route, target, routing_key=read_routing_key(environ), holding=holding
    )


def call_of(
    message: InferRequest,
    terms: Terms,
    request: ModelRequest,
    route: Route,
    target: Target | None,
    *,
    routing_key: str | None,
    holding: MemoryHolding,
) -> Call:
    """The request in the form that serving accepts, for every transport."""
    return Call(
        request,
        route,
        message.inputs,
        hold=partial(hold_rows, holding),
        fixed_target=target,
        outputs=message.output_names,
        routing_key=routing_key,
        fields=message.parameters,
        within_s=terms.within_s,
        priority=terms.priority,
    )
