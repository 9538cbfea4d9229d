"""The queue `roundhouse.submit`: a message becomes a job, or a rejected job. Its row is written before the message is removed."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import structlog
from django.db import DataError
from rest_framework.exceptions import ValidationError

from inference.doors.celery import replies
from inference.doors.celery.errors import BadMessage
from inference.doors.celery.messages import CeleryMessage, Envelope, open_envelope, read_message, task_id_in
from inference.jobs import services, submissions
from inference.jobs.errors import BadJob
from inference.jobs.models import Job
from inference.tensors.errors import InferenceError
from registry.access.key_ring import Principal
from registry.access.keys import note_use
from registry.access.policies import actor_from_key
from registry.errors import RoundhouseError
from registry.kit.actors import Actor, Source
from registry.kit.loops import DATABASE_AWAY

log = structlog.get_logger("roundhouse.celery_door")

SUBMIT = "roundhouse.submit"  # name of the queue and of the task
MAX_BODY_BYTES = 2**20
# A message may have waited while no worker was running. Its job's row makes a duplicate harmless, and is kept for at
# least a day.
ACCEPTED_FOR_S = 24 * 3600.0

Reject = Callable[[Envelope, str, str], None]


def receive(raw: bytes) -> None:
    """Process a raw message; see `handle`."""
    handle(raw, task=SUBMIT, max_body_bytes=MAX_BODY_BYTES, answer=_accept, reject=_reject)


def handle(
    raw: bytes,
    *,
    task: str,
    max_body_bytes: int,
    answer: Callable[[Envelope], None],
    reject: Reject,
) -> None:
    """Parse a message, check its signature, and answer or reject it.

    Raises only DATABASE_AWAY, whatever the message contains; then it must be kept and tried again.
    """
    message: CeleryMessage | None = None
    try:
        message = read_message(raw, task=task, max_body_bytes=max_body_bytes)
        envelope = open_envelope(message)
    except RoundhouseError as error:
        task_id = str(message.task_id) if message is not None else task_id_in(raw)
        replies.reject_unverified(task_id=task_id, code=error.code, why=str(error))
        return
    try:
        answer(envelope)
        note_use(envelope.signer.key_id)
    except DATABASE_AWAY:
        raise
    except (RoundhouseError, InferenceError) as error:
        reject(envelope, error.code, str(error))
    except ValidationError as error:
        reject(envelope, BadJob.code, _first_error(error.detail))
    except DataError:
        reject(
            envelope, BadMessage.code, "It contains values that cannot be stored, such as a NUL character."
        )
    except Exception as error:
        log.error("a message failed in an error of ours", task_id=str(message.task_id), exc_info=error)
        reject(envelope, RoundhouseError.code, "Internal error; the operators can find it in the log.")


def _accept(envelope: Envelope) -> None:
    principal = envelope.principal()
    by = _actor(principal)
    incoming = submissions.from_data(envelope.content, by)
    if incoming.upload is not None:
        raise BadJob("An upload can be used only once, but a message may arrive twice; use a store instead.")
    job_id = envelope.message.task_id
    if not Job.objects.filter(pk=job_id).exists():
        envelope.check_fresh(ACCEPTED_FOR_S)
    job = services.accept(replace(incoming.submitted, job_id=job_id), by=by, principal=principal)
    log.info("order accepted", job=str(job.pk), key=principal.name)


def _actor(principal: Principal) -> Actor:
    by = actor_from_key(principal, Source.TASK)
    return replace(by, name=f"{by.name}, through Celery")


def _reject(envelope: Envelope, code: str, why: str) -> None:
    task_id = str(envelope.message.task_id)
    replies.reject(envelope.signer, task_id=task_id, content=envelope.content, code=code, why=why)


def _first_error(detail: Any, name: str = "") -> str:
    """The first validation error, with the name of its field."""
    while isinstance(detail, (dict, list)) and detail:
        if isinstance(detail, dict):
            field, detail = next(iter(detail.items()))
            name = name if field == "non_field_errors" else f"{name}.{field}" if name else str(field)
        else:
            detail = next((item for item in detail if item), "")
    return f"`{name}`: {detail}" if name else str(detail)
