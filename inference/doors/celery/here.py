"""This process's readers of questions: a worker starts them, where there is a Redis to leave answers in."""

from functools import partial

from django.conf import settings

from inference.doors.celery.predicting import MAX_BYTES, PREDICT, receive
from inference.doors.limits.admission import admission
from inference.jobs.celery_door import broker
from inference.jobs.celery_door.reader import Reader
from inference.serving.worker_process import STOP_HOOKS


def start() -> None:
    if not settings.REDIS_URL:
        return
    admission.start()
    reader = Reader(
        "questions",
        partial(broker.box, PREDICT, max_body_bytes=MAX_BYTES),
        receive,
        threads=settings.WORKER_THREADS,
    )

    def stop(within_s: float) -> None:
        reader.stop(within_s)
        admission.stop()

    STOP_HOOKS.add("questions", stop)
    reader.start()
