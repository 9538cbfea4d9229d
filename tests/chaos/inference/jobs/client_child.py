"""A client that writes down what it is about to send, sends it, and writes down that it was told "accepted"."""

import json
import os
import random
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import django

django.setup()

from django.db import DatabaseError, close_old_connections  # noqa: E402 (needs the apps loaded)

from inference.jobs import services  # noqa: E402
from inference.jobs.services import SubmittedJob  # noqa: E402
from registry.access.policies import command_actor  # noqa: E402
from tests.chaos.inference.jobs.installation import DEATH  # noqa: E402
from tests.support.lengths import LENGTHS, lengths_installed  # noqa: E402

PATH, JOBS, ROWS, DEATHS, KIND = sys.argv[1], *map(int, sys.argv[2:5]), sys.argv[5]
_writing = Lock()
_log = open(PATH, "a")  # noqa: SIM115 (open as long as the client lives)


def note(**what) -> None:
    with _writing:
        _log.write(json.dumps(what) + "\n")
        _log.flush()
        os.fsync(_log.fileno())


def send(number: int) -> None:
    """Ask until there is an answer, always under the same id: whoever hears nothing does not know."""
    job_id = uuid.uuid4()
    value = DEATH if number in deadly else float(number + 1)
    note(did="send", job=str(job_id), value=value, rows=ROWS)
    if KIND == LENGTHS:
        target = {"kind": LENGTHS, "rows": [{"text": "x" * int(2 * value)}] * ROWS}
    else:
        target = {"model": "double", "rows": [{"x": value}] * ROWS}
    order = SubmittedJob(**target, job_id=job_id)
    while True:
        try:
            services.accept(order, by=command_actor("client"), principal=None)
            break
        except DatabaseError:
            time.sleep(0.2)
        finally:
            close_old_connections()
    note(did="ack", job=str(job_id))


deadly = set(random.Random(7).sample(range(JOBS), DEATHS))
with lengths_installed(), ThreadPoolExecutor(4) as threads:
    list(threads.map(send, range(JOBS)))
