"""Predictions over REST: how a body is read and answered."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import orjson
from django.conf import settings
from django.http import HttpResponse

from inference.doors.entry import LOOP_BYTES, ModelDoor
from inference.doors.memory import MemoryHolding, hold_answer, hold_rows, json_bytes, parsed_bytes
from inference.doors.oip import bodies, codec
from inference.doors.oip.door import call_for
from inference.doors.oip.messages import InferRequest, request_limits
from inference.doors.rest.bodies import BodyKind, kind_of, read_fields
from inference.doors.rest.forms import ELSEWHERE_IN_HTTP, Form, check_fields, form_of, routing_fields
from inference.doors.wire import Environ, HttpReply, read_deadline_s, read_routing_key
from inference.errors import InvalidOutput
from inference.serving import services
from inference.serving.calls import DEADLINE_S, Call, CheckedCall, ModelRequest, Prediction
from inference.serving.off_loop import off_loop
from inference.serving.routes import Route, Target
from inference.tensors.errors import InvalidInput

_COPIES = 2  # of the body of a form, while it is read


Body: TypeAlias = Form | InferRequest


class ReadForm(NamedTuple):
    """The form of a body with fields, the fields that it may have, and the task that the address names."""

    form: Form
    known: Sequence[str]
    task: str | None = None


class RestDoor(ModelDoor):
    """Seven forms: six of JSON and the binary one. The answer has the request's form."""

    def longest_body(self, environ: Environ) -> int:
        match kind_of(environ):
            case BodyKind.JSON:
                return int(settings.PREDICT_JSON_BYTES)
            case BodyKind.BINARY:
                return bodies.longest(environ, request_limits())
            case _:
                return int(settings.PREDICT_BINARY_BYTES)

    def parsed_bytes(self, environ: Environ, body: bytes) -> int:
        match kind_of(environ):
            case BodyKind.JSON:
                return parsed_bytes(body)
            case BodyKind.BINARY:
                return bodies.parsed_bytes(environ, body)
            case BodyKind.PARTS:
                return _COPIES * len(body)
            case BodyKind.PICTURE:
                return 0  # it is kept as it is

    def is_long(self, environ: Environ, body: bytes) -> bool:
        kind = kind_of(environ)
        return kind is BodyKind.PARTS or (len(body) > LOOP_BYTES and kind is not BodyKind.PICTURE)

    async def answer(
        self,
        environ: Environ,
        body: bytes,
        request: ModelRequest,
        route: Route,
        target: Target | None,
        holding: MemoryHolding,
    ) -> HttpReply:
        form, call = _read_call(self, environ, body, request, route, target, holding)
        with _PointedErrors(form):
            prediction = await services.predict(call)
        hold_answer(holding, prediction.nbytes, _written_bytes(form, prediction))
        if prediction.nbytes > LOOP_BYTES:
            return await off_loop(partial(_write, form, prediction))
        return _write(form, prediction)

    def read_form(self, fields: Any) -> ReadForm:
        """The form of a body with these fields."""
        form = form_of(fields)
        return ReadForm(form, form.fields)

    def render_problem(self, problem: HttpResponse) -> HttpResponse:
        return problem


class DryRunDoor(RestDoor):
    """Checks a request and describes what would have run; nothing runs and nothing is counted."""

    is_counted = False

    async def answer(
        self,
        environ: Environ,
        body: bytes,
        request: ModelRequest,
        route: Route,
        target: Target | None,
        holding: MemoryHolding,
    ) -> HttpReply:
        form, call = _read_call(self, environ, body, request, route, target, holding)
        with _PointedErrors(form):
            checked = await off_loop(partial(services.check, call))
        return HttpReply([("Content-Type", "application/json")], orjson.dumps(_dry_run_body(checked)))


REST, DRY_RUN = RestDoor(), DryRunDoor()


class _PointedErrors:
    """Makes errors about tensors point to their place in the body."""

    __slots__ = ("_body",)

    def __init__(self, body: Body) -> None:
        self._body = body

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, InvalidInput) and isinstance(self._body, Form):
            self._body.place(error)


def _read_call(
    door: RestDoor,
    environ: Environ,
    body: bytes,
    request: ModelRequest,
    route: Route,
    target: Target | None,
    holding: MemoryHolding,
) -> tuple[Body, Call]:
    kind = kind_of(environ)
    if kind is BodyKind.BINARY:
        message = codec.read_infer(environ, body, request_limits(), holding)
        if message.unread:
            elsewhere = dict.fromkeys(routing_fields(route), "put it into `parameters`") | ELSEWHERE_IN_HTTP
            check_fields(message.unread, codec.FIELDS, slug=route.slug, elsewhere=elsewhere)
        # A binary request gets a binary answer, unless it says otherwise.
        message.parameters = {"binary_data_output": True, **message.parameters}
        return message, call_for(message, environ, request, route, target, holding)
    fields = request.fields if request.fields is not None else read_fields(kind, environ, body)
    form, known, task = door.read_form(fields)
    check_fields(fields, (*known, *routing_fields(route)), slug=route.slug, elsewhere=ELSEWHERE_IN_HTTP)
    return form, Call(
        request,
        route,
        form.asked,
        hold=partial(hold_rows, holding),
        fixed_target=target,
        routing_key=read_routing_key(environ),
        fields=fields,
        within_s=read_deadline_s(environ) or DEADLINE_S,
        task=task,
    )


def _written_bytes(body: Body, prediction: Prediction) -> int:
    if not isinstance(body, Form):
        return codec.written_bytes(body, prediction)
    return json_bytes(list(prediction.outputs.values())) + prediction.answers_bytes


def _write(body: Body, prediction: Prediction) -> HttpReply:
    if not isinstance(body, Form):
        return codec.write_infer(body, prediction)
    headers = [("Content-Type", "application/json"), ("X-Request-ID", prediction.request_id)]
    return HttpReply(headers, write_form(body, prediction))


def write_form(form: Form, prediction: Prediction) -> bytes:
    """The answer in the request's form, as JSON."""
    if prediction.non_finite:
        raise InvalidOutput
    body = {
        **form.answer(prediction),
        "model": prediction.model,
        "version": prediction.version,
        "arm": prediction.arm,
        "split": prediction.split,
        "request_id": prediction.request_id,
    }
    if prediction.pipeline.digest:
        body["preprocessing"] = prediction.pipeline.digest
    return orjson.dumps(body, default=_to_json, option=orjson.OPT_SERIALIZE_NUMPY)


def _to_json(value: Any) -> Any:
    """For what orjson cannot write: half floats, texts, and arrays that are not contiguous."""
    return value.tolist()


def _dry_run_body(checked: CheckedCall) -> dict[str, Any]:
    datatypes = {spec.name: spec.datatype for spec in checked.signature.inputs}
    return {
        "valid": True,
        "inputs": {
            name: {"datatype": datatypes[name], "shape": tensor.shape}
            for name, tensor in checked.tensors.items()
        },
        "model": checked.model,
        "version": checked.version,
        "arm": checked.arm,
        "split": checked.split,
        "runs": checked.runs,
    }
