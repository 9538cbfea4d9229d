"""Predictions over REST: what is read from a body, and how it is answered."""

from functools import partial
from typing import Any, TypeAlias

import orjson
from django.conf import settings
from django.http import HttpResponse

from inference.doors.asking import LOOP_BYTES, Asked
from inference.doors.memory import Holding, hold_answer, json_bytes, parsed_bytes
from inference.doors.oip import bodies, codec
from inference.doors.oip.conf import limits
from inference.doors.oip.door import call_for
from inference.doors.oip.messages import InferRequest
from inference.doors.rest.errors import UnsupportedBody
from inference.doors.rest.fields import SAID_ELSEWHERE, check_fields, routing_fields
from inference.doors.rest.forms import Form, form_of
from inference.doors.wire import Environ, Reply, read_deadline_s, read_routing_key
from inference.engine.requests import Cancellation
from inference.errors import BadBody, InvalidOutput
from inference.serving import services
from inference.serving.calls import DEADLINE_S, Call, Checked, Prediction
from inference.serving.off_loop import off_loop
from inference.serving.routes import Route, Target
from inference.tensors.errors import InvalidInput
from registry.access.key_ring import Principal

_BINARY = "application/octet-stream"
# What curl says when nobody tells it what it sends.
_JSON = frozenset({"", "application/json", "application/x-www-form-urlencoded"})


Body: TypeAlias = Form | InferRequest


class RestDoor:
    """JSON in four forms, or the binary form; the answer has the form that was asked in."""

    def asked(
        self, by: Principal, model: str, version: str, alias: str, cancellation: Cancellation | None = None
    ) -> Asked:
        return Asked(by, model, int(version) if version else None, alias or None, cancellation)

    def longest_body(self, environ: Environ) -> int:
        return bodies.longest(environ, limits()) if _is_binary(environ) else settings.PREDICT_JSON_BYTES

    def parsed_bytes(self, environ: Environ, body: bytes) -> int:
        return bodies.parsed_bytes(environ, body) if _is_binary(environ) else parsed_bytes(body)

    async def answer(
        self,
        environ: Environ,
        body: bytes,
        asked: Asked,
        route: Route,
        target: Target | None,
        holding: Holding,
    ) -> Reply:
        form, call = _read_call(environ, body, asked, route, target, holding)
        with _placing(form):
            prediction = await services.predict(call)
        hold_answer(holding, prediction.nbytes, _written_bytes(form, prediction))
        if prediction.nbytes > LOOP_BYTES:
            return await off_loop(partial(_write, form, prediction))
        return _write(form, prediction)

    def say(self, problem: HttpResponse) -> HttpResponse:
        return problem


class DryRun(RestDoor):
    """Checks what a prediction would have run, and says so; nothing runs and nothing is counted."""

    async def answer(
        self,
        environ: Environ,
        body: bytes,
        asked: Asked,
        route: Route,
        target: Target | None,
        holding: Holding,
    ) -> Reply:
        form, call = _read_call(environ, body, asked, route, target, holding)
        with _placing(form):
            checked = await off_loop(partial(services.check, call))
        return Reply([("Content-Type", "application/json")], orjson.dumps(_told(checked)))


REST, DRY_RUN = RestDoor(), DryRun()


class _placing:
    """Errors of the tensors say where in the body they are."""

    __slots__ = ("_body",)

    def __init__(self, body: Body) -> None:
        self._body = body

    def __enter__(self) -> None:
        """Nothing is to be done before."""

    def __exit__(self, kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, InvalidInput) and isinstance(self._body, Form):
            self._body.place(error)


def _read_call(
    environ: Environ, body: bytes, asked: Asked, route: Route, target: Target | None, holding: Holding
) -> tuple[Body, Call]:
    if _is_binary(environ):
        request = codec.read_infer(environ, body, limits(), holding)
        if request.unread:
            elsewhere = dict.fromkeys(routing_fields(route), "put it into `parameters`") | SAID_ELSEWHERE
            check_fields(request.unread, codec.FIELDS, slug=route.slug, elsewhere=elsewhere)
        # Who sends binary gets binary, unless they ask for something else.
        request.parameters = {"binary_data_output": True, **request.parameters}
        return request, call_for(request, environ, asked, route, target)
    fields = _read_json(body)
    form = form_of(fields)
    read_here = (form.name, *routing_fields(route))
    check_fields(fields, read_here, slug=route.slug, elsewhere=SAID_ELSEWHERE)
    return form, Call(
        by=asked.by,
        route=route,
        inputs=form.inputs,
        version=asked.version,
        alias=asked.alias,
        foregone=target,
        routing_key=read_routing_key(environ),
        fields=fields,
        within_s=read_deadline_s(environ) or DEADLINE_S,
        cancellation=asked.cancellation,
    )


def _read_json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadBody(f"The body is not valid JSON: {error}.") from None


def _is_binary(environ: Environ) -> bool:
    """Whether the body is binary; raises for what is neither that nor plain JSON."""
    encoding = environ.get("HTTP_CONTENT_ENCODING", "")
    if encoding and encoding.lower() != "identity":
        raise UnsupportedBody(f"Content-Encoding {encoding[:40]!r} is not read here; send the body as it is.")
    media_type = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if media_type in _JSON:
        return False
    if media_type == _BINARY:
        return True
    raise UnsupportedBody(f"{media_type[:60]!r} is not read here; send application/json or {_BINARY}.")


def _written_bytes(body: Body, prediction: Prediction) -> int:
    if not isinstance(body, Form):
        return codec.written_bytes(body, prediction)
    return json_bytes(list(prediction.outputs.values()))


def _write(body: Body, prediction: Prediction) -> Reply:
    if not isinstance(body, Form):
        return codec.write_infer(body, prediction)
    headers = [("Content-Type", "application/json"), ("X-Request-ID", prediction.request_id)]
    return Reply(headers, answer_in(body, prediction))


def answer_in(form: Form, prediction: Prediction) -> bytes:
    """The answer in the form that was asked in, as JSON."""
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
    return orjson.dumps(body, default=_to_json, option=orjson.OPT_SERIALIZE_NUMPY)


def _to_json(value: Any) -> Any:
    """What orjson leaves to us: half floats, texts, and arrays that are not contiguous."""
    return value.tolist()


def _told(checked: Checked) -> dict[str, Any]:
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
    }
