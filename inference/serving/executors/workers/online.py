"""This process's consumer of online batches: a worker's entry point starts and stops it."""

from typing import Any

from django.conf import settings

from inference.serving import runtime
from inference.serving.executors.workers.answering import answer_one
from inference.serving.executors.workers.consumer import BatchConsumer

_FINISH_WITHIN_S = 20.0
_BATCHES_PER_THREAD = 2

_consumer: BatchConsumer | None = None


def start() -> None:
    """Take batches of this worker's pool, if web processes send any; call it when the runtime has started."""
    global _consumer
    if settings.EXECUTOR == "workers":
        at_once = _BATCHES_PER_THREAD * settings.WORKER_THREADS
        loop = runtime.started().loop
        _consumer = BatchConsumer(settings.REDIS_URL, loop, pool=settings.POOL, at_once=at_once).start()


def stop(within_s: float = _FINISH_WITHIN_S) -> None:
    """Take no more, and finish what has been taken."""
    global _consumer
    if _consumer is not None:
        _consumer.stop(within_s)
    _consumer = None


def answer(told: dict[str, Any]) -> None:
    """Run one batch that came as an ordinary task, to a worker that was given the pool's queue as well."""
    runtime.started().loop.wait_for(answer_one(settings.REDIS_URL, told))
