"""One message: it becomes a job, is a job already, or is refused; whichever, it is a row before the message is gone."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import structlog
from django.db import DataError, InterfaceError, OperationalError
from rest_framework.exceptions import ValidationError

from inference.jobs import orders, services
from inference.jobs.celery_door import refusing
from inference.jobs.celery_door.envelope import Envelope, opened
from inference.jobs.celery_door.errors import BadMessage
from inference.jobs.celery_door.messages import Message, read, task_id_in
from inference.jobs.errors import BadOrder
from inference.jobs.models import Job
from inference.tensors.errors import InferenceError
from registry.access.key_ring import Principal
from registry.access.keys import note_use
from registry.access.policies import actor_from_key
from registry.errors import RoundhouseError
from registry.kit.actors import Actor, Source

log = structlog.get_logger("roundhouse.celery_door")

SUBMIT = "roundhouse.submit"  # the queue's name and the task's
MAX_BODY_BYTES = 2**20
# An order may have waited in the queue while no worker ran. Meanwhile and later its job's row makes a second one harmless:
# that row is kept for a day at least.
TAKEN_FOR_S = 24 * 3600.0


class TryLater(Exception):
    """The database does not answer; the message must not go."""


Told = Mapping[str, Any]
Refusal = Callable[[Envelope, str, str], None]


def receive(raw: bytes) -> None:
    """Deal with what was found in the queue; raises nothing but TryLater, whatever it was."""
    handle(raw, task=SUBMIT, max_body_bytes=MAX_BODY_BYTES, answer=_accept, refuse=_refuse)


def handle(
    raw: bytes,
    *,
    task: str,
    max_body_bytes: int,
    answer: Callable[[Envelope], None],
    refuse: Refusal,
) -> None:
    """Read, check who sent it, answer; refusals go on record. Raises nothing but TryLater."""
    try:
        _handle(raw, task, max_body_bytes, answer, refuse)
    except (OperationalError, InterfaceError) as error:
        raise TryLater(str(error)) from error


def _handle(
    raw: bytes, task: str, max_body_bytes: int, answer: Callable[[Envelope], None], refuse: Refusal
) -> None:
    message: Message | None = None
    try:
        message = read(raw, task=task, max_body_bytes=max_body_bytes)
        envelope = opened(message)
    except RoundhouseError as error:
        task_id = str(message.task_id) if message is not None else task_id_in(raw)
        refusing.refuse_stranger(task_id=task_id, code=error.code, why=str(error))
        return
    try:
        answer(envelope)
        note_use(envelope.signer.key_id)
    except (OperationalError, InterfaceError):
        raise
    except (RoundhouseError, InferenceError) as error:
        refuse(envelope, error.code, str(error))
    except ValidationError as error:
        refuse(envelope, BadOrder.code, _first_of(error.detail))
    except DataError:
        refuse(envelope, BadMessage.code, "It has text or numbers that cannot be stored, such as a NUL.")
    except Exception as error:
        log.error("a message failed in an error of ours", task_id=str(message.task_id), exc_info=error)
        refuse(envelope, RoundhouseError.code, "Something went wrong here; the operators can read what.")


def _accept(envelope: Envelope) -> None:
    principal = envelope.principal()
    by = _actor(principal)
    came = orders.from_data(envelope.asked, by)
    if came.upload is not None:
        raise BadOrder("An upload is used up by one order, and a message may come twice; name a store.")
    job_id = envelope.message.task_id
    order = replace(came.order, job_id=job_id)
    if not Job.objects.filter(pk=job_id).exists():
        envelope.check_fresh(TAKEN_FOR_S)
    job = services.accept(order, by=by, principal=principal)
    log.info("order accepted", job=str(job.pk), key=principal.name)


def _actor(principal: Principal) -> Actor:
    by = actor_from_key(principal, Source.TASK)
    return replace(by, name=f"{by.name}, through Celery")


def _refuse(envelope: Envelope, code: str, why: str) -> None:
    refusing.refuse(
        envelope.signer, task_id=str(envelope.message.task_id), asked=envelope.asked, code=code, why=why
    )


def _first_of(detail: Any, name: str = "") -> str:
    """The first thing that is wrong, with the name of its field."""
    while isinstance(detail, (dict, list)) and detail:
        if isinstance(detail, dict):
            field, detail = next(iter(detail.items()))
            name = name if field == "non_field_errors" else f"{name}.{field}" if name else str(field)
        else:
            detail = next((one for one in detail if one), "")
    return f"`{name}`: {detail}" if name else str(detail)
