"""Predictions for Hugging Face's clients: `inputs` and `parameters` in JSON, or a picture as it is."""

from functools import partial
from typing import Any

import orjson
from django.conf import settings
from django.http import HttpResponse

from inference.doors.entry import LOOP_BYTES, ModelDoor, short_problem
from inference.doors.errors import BadParameter, NotAPrediction
from inference.doors.hugging_face.tasks import PARAMETERS, Question
from inference.doors.memory import MemoryHolding, hold_answer, hold_rows, parsed_bytes
from inference.doors.rest.bodies import BodyKind, media_type_of, read_fields, refuse_encoding
from inference.doors.rest.forms import check_fields, routing_fields
from inference.doors.wire import Environ, Headers, HttpReply, check_length, read_deadline_s, read_routing_key
from inference.serving import services
from inference.serving.calls import DEADLINE_S, Call, Items, ModelRequest, Prediction
from inference.serving.off_loop import off_loop
from inference.serving.routes import Route, Target

_FIELDS = ("inputs", "parameters")
_ELSEWHERE = {name: "put it into `parameters`" for names in PARAMETERS.values() for name in names}
_LONGER = 2  # these answers than those in words, at most
_BEGINNING = 64  # bytes of a body, in which JSON has begun


class HuggingFaceDoor(ModelDoor):
    def longest_body(self, environ: Environ) -> int:
        refuse_encoding(environ.get("HTTP_CONTENT_ENCODING", ""))
        is_json = media_type_of(environ.get("CONTENT_TYPE", "")) == BodyKind.JSON.value
        return int(settings.PREDICT_JSON_BYTES if is_json else settings.PREDICT_BINARY_BYTES)

    def parsed_bytes(self, environ: Environ, body: bytes) -> int:
        if not _is_json(environ, body):
            return 0  # a picture is kept as it is
        check_length(
            str(len(body)), settings.PREDICT_JSON_BYTES
        )  # the header may not have said that it is JSON
        return parsed_bytes(body)

    def is_long(self, environ: Environ, body: bytes) -> bool:
        return len(body) > LOOP_BYTES and _is_json(environ, body)

    async def answer(
        self,
        environ: Environ,
        body: bytes,
        request: ModelRequest,
        route: Route,
        target: Target | None,
        holding: MemoryHolding,
    ) -> HttpReply:
        if environ.get("QUERY_STRING"):
            raise BadParameter("Options in this address are not read; put them into `parameters`.")
        fields = read_fields(BodyKind.JSON, environ, body) if _is_json(environ, body) else {"inputs": body}
        question = _question(fields, route)
        call = Call(
            request,
            route,
            Items(question.body_for),
            hold=partial(hold_rows, holding),
            fixed_target=target,
            routing_key=read_routing_key(environ),
            fields=fields,
            within_s=read_deadline_s(environ) or DEADLINE_S,
        )
        prediction = await services.predict(call)
        hold_answer(holding, prediction.nbytes, _LONGER * prediction.answers_bytes)
        if prediction.nbytes > LOOP_BYTES:
            return await off_loop(partial(_write, question, prediction))
        return _write(question, prediction)

    def render_problem(self, problem: HttpResponse) -> HttpResponse:
        return short_problem(problem, status=problem.status_code)


HUGGING_FACE = HuggingFaceDoor()


def _is_json(environ: Environ, body: bytes) -> bool:
    """Clients often send no type: a picture's file, or JSON with a picture in base64. No picture begins with a brace."""
    media_type = media_type_of(environ.get("CONTENT_TYPE", ""))
    if media_type == BodyKind.JSON.value:
        return True
    return not media_type.startswith("image/") and body[:_BEGINNING].lstrip().startswith(b"{")


def _question(fields: Any, route: Route) -> Question:
    if not isinstance(fields, dict) or "inputs" not in fields:
        raise NotAPrediction(
            "The body has no `inputs`; send an object with a text or a picture in base64, or a list of them, in `inputs`."
        )
    check_fields(fields, (*_FIELDS, *routing_fields(route)), slug=route.slug, elsewhere=_ELSEWHERE)
    if fields["inputs"] == []:
        raise NotAPrediction("`inputs` is an empty list; send at least one text or picture.")
    parameters = fields.get("parameters")
    if not isinstance(parameters, dict | None):
        raise BadParameter("`parameters` is not an object.")
    return Question(route.slug, fields["inputs"], parameters or {})


def _write(question: Question, prediction: Prediction) -> HttpReply:
    """The lists have no room for what other doors add to them, so headers have it."""
    headers: Headers = [
        ("Content-Type", "application/json"),
        ("X-Request-ID", prediction.request_id),
        ("X-Model", prediction.model),
        ("X-Model-Version", str(prediction.version)),
        ("X-Split", str(prediction.split)),
        ("X-Preprocessing", prediction.pipeline.digest),
    ]
    if prediction.arm:
        headers.append(("X-Arm", prediction.arm))
    for header, field in (("X-Tokens-Given", "tokens_given"), ("X-Tokens-Used", "tokens_used")):
        counts = [getattr(answer, field, None) for answer in prediction.answers or ()]
        if None not in counts:
            headers.append((header, ",".join(map(str, counts))))
    return HttpReply(headers, orjson.dumps(question.answer(prediction)))
