"""A worker that has its connection and takes nothing from it any more, as after some reconnections."""

import sys

from celery.signals import worker_ready

from roundhouse.celery import app


@worker_ready.connect
def stop_listening(sender, **_):
    sender.task_consumer.cancel()
    app.send_task("inference.record_pulse")  # waits for ever
    sys.stdout.write("it is deaf\n")
    sys.stdout.flush()


app.worker_main(
    [
        "--quiet",
        "worker",
        "--pool",
        "threads",
        "--concurrency",
        "2",
        "--queues",
        sys.argv[1],
        "--loglevel",
        "error",
    ]
)
