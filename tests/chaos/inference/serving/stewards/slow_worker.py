"""A worker on a machine so busy that it is handed twenty messages in a second.

With `received` it counts as it used to: only what Celery signals as received, which no expired message is.
"""

import sys
import time

import django
from celery.signals import task_received

django.setup()

from roundhouse.celery import app  # noqa: E402 (needs the apps loaded)
from roundhouse.worker import deliveries  # noqa: E402

queue, counted = sys.argv[1:]
note = deliveries.note_delivery


def note_received(**_):
    note()


def be_handed():
    time.sleep(0.05)
    if counted == "delivered":
        note()


deliveries.note_delivery = be_handed
if counted == "received":
    task_received.connect(note_received)

options = ["--pool", "threads", "--concurrency", "2", "--queues", queue, "--loglevel", "error"]
app.worker_main(["--quiet", "worker", *options])
