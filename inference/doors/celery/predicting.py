"""The queue `roundhouse.predict`: a signed question in, an answer in Celery's result backend out.

Messages are read as those of orders are: by us, and nothing in their headers is obeyed. An answer that nobody waits for
any more is not made.
"""

from functools import cache
from typing import Any

import orjson
import structlog
from celery import Celery
from django.conf import settings

from inference.doors.entry import ModelRequest, admit
from inference.doors.rest.door import write_form
from inference.doors.rest.forms import check_fields, form_of, routing_fields
from inference.engine.loop import complete
from inference.errors import BadBody, BadDeadline, BadRoutingKey
from inference.jobs.celery_door.envelope import Envelope
from inference.jobs.celery_door.receiving import handle
from inference.serving import services
from inference.serving.calls import DEADLINE_S, LONGEST_DEADLINE_S, Call
from registry.access.policies import Right, rights_of_scopes
from registry.errors import BodyTooLarge, NotAllowed

log = structlog.get_logger("roundhouse.celery_door")

PREDICT = "roundhouse.predict"  # the queue's name and the task's
MAX_BYTES = 64 * 2**10
KEPT_S = 120
_LONGEST_ROUTING_KEY = 256
_FIELDS = ("model", "version", "alias", "routing_key", "within_s")


def receive(raw: bytes) -> None:
    """Deal with what was found in the queue."""
    handle(raw, task=PREDICT, max_body_bytes=MAX_BYTES, answer=_answer, refuse=_refuse)


def _answer(envelope: Envelope) -> None:
    by, asked = envelope.principal(), envelope.asked
    if Right.PREDICT not in rights_of_scopes(by.scopes):
        raise NotAllowed(f"Key {by.name} may not predict.")
    left_s = envelope.check_fresh(_deadline_s(asked.pop("within_s", DEADLINE_S)))
    model = asked.pop("model", None)
    version, alias = asked.pop("version", None), asked.pop("alias", None)
    if not isinstance(model, str) or not isinstance(alias, str | None):
        raise BadBody("`model` and `alias` are names.")
    if not isinstance(version, int | None) or isinstance(version, bool):
        raise BadBody("`version` is a number.")
    body = complete(_predict(ModelRequest(by, model, version, alias), asked, left_s))
    if len(body) > MAX_BYTES:
        raise BodyTooLarge(f"The answer has {len(body):,} bytes, and {MAX_BYTES:,} go this way; send a job.")
    _give(envelope, {"ok": True, **orjson.loads(body)})


async def _predict(who: ModelRequest, asked: dict[str, Any], within_s: float) -> bytes:
    route, target, flight = await admit(who)
    try:
        flight.begin()
        routing_key = asked.pop("routing_key", None)
        if routing_key is not None and not (
            isinstance(routing_key, str) and 0 < len(routing_key) <= _LONGEST_ROUTING_KEY
        ):
            raise BadRoutingKey(f"`routing_key` is a text of 1 to {_LONGEST_ROUTING_KEY} characters.")
        form = form_of(asked)
        check_fields(asked, (form.name, *_FIELDS, *routing_fields(route)))
        call = Call(
            by=who.by,
            route=route,
            inputs=form.inputs,
            version=who.version,
            alias=who.alias,
            fixed_target=target,
            routing_key=routing_key,
            fields=asked,
            within_s=within_s,
        )
        prediction = await services.predict(call)
        if 2 * sum(output.size for output in prediction.outputs.values()) > MAX_BYTES:
            raise BodyTooLarge("The answer has more values than go this way; send a job.")
        return write_form(form, prediction)
    finally:
        flight.end()


def _refuse(envelope: Envelope, code: str, why: str) -> None:
    """Not on record, as with every other prediction: the sender waits, and is told."""
    _give(envelope, {"ok": False, "code": code, "failure": why})


def _give(envelope: Envelope, answer: dict[str, Any]) -> None:
    """Leave an answer where the sender's `get` looks for it. One that is there already stays."""
    _results().backend.store_result(str(envelope.message.task_id), answer, "SUCCESS")


@cache
def _results() -> Celery:
    app = Celery("roundhouse-results", set_as_current=False, backend=settings.REDIS_URL)
    app.conf.update(result_expires=KEPT_S, result_serializer="json", accept_content=["json"])
    return app


def _deadline_s(given: Any) -> float:
    if not isinstance(given, int | float) or isinstance(given, bool) or not 0 < given <= LONGEST_DEADLINE_S:
        raise BadDeadline(f"`within_s` is a number of seconds up to {LONGEST_DEADLINE_S:.0f}.")
    return float(given)
