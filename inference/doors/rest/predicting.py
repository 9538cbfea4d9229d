"""Predictions over REST, as functions of a WSGI environment and its body: the views', and the front door's."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, TypeVar

import orjson
from django.conf import settings

from inference.doors.asking import ask
from inference.doors.oip import codec
from inference.doors.oip.conf import limits
from inference.doors.oip.http import call_for
from inference.doors.oip.messages import InferRequest
from inference.doors.rest.errors import UnsupportedBody
from inference.doors.rest.fields import SAID_ELSEWHERE, check_fields, routing_fields
from inference.doors.rest.forms import Form, form_of
from inference.doors.wire import (
    Environ,
    Read,
    Reply,
    check_length,
    read_deadline_s,
    read_exactly,
    read_routing_key,
)
from inference.engine.errors import InvalidInput
from inference.errors import BadBody, InvalidOutput
from inference.serving import services
from inference.serving.calls import DEADLINE_S, Call, Checked, Prediction
from inference.serving.routes import Route
from registry.access.key_ring import Principal

_BINARY = "application/octet-stream"
# What curl says when nobody tells it what it sends.
_JSON = frozenset({"", "application/json", "application/x-www-form-urlencoded"})


class Asked(NamedTuple):
    """Whom a request asks."""

    by: Principal
    model: str
    version: int | None = None
    alias: str | None = None


T = TypeVar("T")
Body: TypeAlias = Form | InferRequest


def predict(environ: Environ, read: Read, asked: Asked) -> Reply:
    """Answer in the form that was asked in."""

    def answer(route: Route) -> Reply:
        body, call = _read_call(environ, read, asked, route)
        prediction = _placing(body, services.predict, call)
        return _write(body, prediction) if isinstance(body, Form) else codec.write_infer(body, prediction)

    return ask(asked.by, asked.model, answer, version=asked.version, alias=asked.alias)


def dry_run(environ: Environ, read: Read, asked: Asked) -> Reply:
    """Check what `predict` would have run, and say so; nothing runs and nothing is counted."""

    def answer(route: Route) -> Reply:
        body, call = _read_call(environ, read, asked, route)
        checked = _placing(body, services.check, call)
        return Reply([("Content-Type", "application/json")], orjson.dumps(_told(checked)))

    return ask(asked.by, asked.model, answer, version=asked.version, alias=asked.alias)


def _placing(body: Body, do: Callable[[Call], T], call: Call) -> T:
    """Do it; an error of the tensors says where in the body it is."""
    try:
        return do(call)
    except InvalidInput as error:
        if isinstance(body, Form):
            body.place(error)
        raise


def _read_call(environ: Environ, read: Read, asked: Asked, route: Route) -> tuple[Body, Call]:
    if _is_binary(environ):
        request = codec.read_infer(environ, read, limits())
        if request.unread:
            elsewhere = dict.fromkeys(routing_fields(route), "put it into `parameters`") | SAID_ELSEWHERE
            check_fields(request.unread, codec.FIELDS, slug=route.slug, elsewhere=elsewhere)
        # Who sends binary gets binary, unless they ask for something else.
        request.parameters = {"binary_data_output": True, **request.parameters}
        return request, call_for(
            request, environ, by=asked.by, route=route, version=asked.version, alias=asked.alias
        )
    body = _read_json(environ, read)
    form = form_of(body)
    read_here = (form.name, *routing_fields(route))
    check_fields(body, read_here, slug=route.slug, elsewhere=SAID_ELSEWHERE)
    return form, Call(
        by=asked.by,
        route=route,
        inputs=form.inputs,
        version=asked.version,
        alias=asked.alias,
        routing_key=read_routing_key(environ),
        fields=body,
        within_s=read_deadline_s(environ) or DEADLINE_S,
    )


def _read_json(environ: Environ, read: Read) -> Any:
    length = check_length(environ.get("CONTENT_LENGTH") or "", settings.PREDICT_JSON_BYTES)
    try:
        # Not request.body: Django refuses that beyond 2.5 MB with a page of HTML.
        return orjson.loads(read_exactly(read, length))
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


def _write(form: Form, prediction: Prediction) -> Reply:
    return Reply(
        [("Content-Type", "application/json"), ("X-Request-ID", prediction.request_id)],
        answer_in(form, prediction),
    )


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
