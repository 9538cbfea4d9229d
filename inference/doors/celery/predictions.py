"""The queue `roundhouse.predict`: small predictions, answered in Celery's result backend within their deadline."""

from functools import cache, partial
from typing import Any

import orjson
import structlog
from celery import Celery
from django.conf import settings

from inference.doors.celery.messages import Envelope
from inference.doors.celery.submissions import handle
from inference.doors.entry import admit
from inference.doors.memory import MemoryHolding, hold_rows, memory
from inference.doors.request_counts import counted
from inference.doors.rest.door import write_form
from inference.doors.rest.forms import check_fields, form_of, routing_fields
from inference.engine.loop import complete
from inference.errors import BadBody, BadDeadline, BadRoutingKey
from inference.serving import services
from inference.serving.calls import DEADLINE_S, LONGEST_DEADLINE_S, Call, ModelRequest
from registry.access.policies import Right, rights_of_scopes
from registry.errors import BodyTooLarge, NotAllowed
from registry.kit.loops import DATABASE_AWAY

log = structlog.get_logger("roundhouse.celery_door")

PREDICT = "roundhouse.predict"  # name of the queue and of the task
MAX_BYTES = 64 * 2**10
RESULT_KEPT_S = 120
_MAX_ROUTING_KEY = 256
_FIELDS = ("model", "version", "alias", "routing_key", "within_s")


def receive(raw: bytes) -> None:
    """Process a raw message."""
    handle(raw, task=PREDICT, max_body_bytes=MAX_BYTES, answer=_answer, reject=_send_error)


def _answer(envelope: Envelope) -> None:
    by, fields = envelope.principal(), envelope.content
    if Right.PREDICT not in rights_of_scopes(by.scopes):
        raise NotAllowed(f"Key {by.name} does not have the right to predict.")
    model = fields.pop("model", None)
    if not isinstance(model, str):
        raise BadBody("`model` must be a string.")
    request = ModelRequest(by, model)
    with counted(request, unless=DATABASE_AWAY):  # then the message is kept and read again
        left_s = envelope.check_fresh(_deadline_s(fields.pop("within_s", DEADLINE_S)))
        request.version, request.alias = _version_and_alias(fields)
        body = complete(_predict(request, fields, left_s))
        if len(body) > MAX_BYTES:
            raise BodyTooLarge(
                f"The answer has {len(body):,} bytes; the limit is {MAX_BYTES:,}. Submit a job."
            )
        _store_answer(envelope, {"ok": True, **orjson.loads(body)})


def _version_and_alias(fields: dict[str, Any]) -> tuple[int | None, str | None]:
    version, alias = fields.pop("version", None), fields.pop("alias", None)
    if not isinstance(alias, str | None):
        raise BadBody("`alias` must be a string.")
    if not isinstance(version, int | None) or isinstance(version, bool):
        raise BadBody("`version` must be a number.")
    return version, alias


async def _predict(who: ModelRequest, fields: dict[str, Any], within_s: float) -> bytes:
    route, target, flight = await admit(who)
    holding = MemoryHolding(memory)
    try:
        flight.begin()
        routing_key = fields.pop("routing_key", None)
        if routing_key is not None and not (
            isinstance(routing_key, str) and 0 < len(routing_key) <= _MAX_ROUTING_KEY
        ):
            raise BadRoutingKey(f"`routing_key` must have 1 to {_MAX_ROUTING_KEY} characters.")
        form = form_of(fields)
        check_fields(fields, (*form.fields, *_FIELDS, *routing_fields(route)))
        call = Call(
            who,
            route,
            form.asked,
            hold=partial(hold_rows, holding),
            fixed_target=target,
            routing_key=routing_key,
            fields=fields,
            within_s=within_s,
        )
        prediction = await services.predict(call)
        if 2 * sum(output.size for output in prediction.outputs.values()) > MAX_BYTES:
            raise BodyTooLarge("The answer has too many values; submit a job.")
        return write_form(form, prediction)
    finally:
        holding.end()
        flight.end()


def _send_error(envelope: Envelope, code: str, why: str) -> None:
    """Return an error to the waiting sender. Like all predictions, it is not recorded."""
    _store_answer(envelope, {"ok": False, "code": code, "failure": why})


def _store_answer(envelope: Envelope, answer: dict[str, Any]) -> None:
    """Store an answer where the sender's `get` looks for it."""
    _result_app().backend.store_result(str(envelope.message.task_id), answer, "SUCCESS")


@cache
def _result_app() -> Celery:
    app = Celery("roundhouse-results", set_as_current=False, backend=settings.REDIS_URL)
    app.conf.update(result_expires=RESULT_KEPT_S, result_serializer="json", accept_content=["json"])
    return app


def _deadline_s(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= LONGEST_DEADLINE_S:
        raise BadDeadline(f"`within_s` must be a number of seconds up to {LONGEST_DEADLINE_S:.0f}.")
    return float(value)
