"""This process's readers of orders: a worker starts and stops them."""

from functools import partial

from inference.jobs.celery_door import broker
from inference.jobs.celery_door.reader import Reader
from inference.jobs.celery_door.receiving import MAX_BODY_BYTES, SUBMIT, receive
from inference.serving.worker_process import STOP_HOOKS

_THREADS = 2


def start() -> None:
    reader = Reader(
        "orders", partial(broker.box, SUBMIT, max_body_bytes=MAX_BODY_BYTES), receive, threads=_THREADS
    )
    STOP_HOOKS.add("orders", reader.stop)
    reader.start()
