"""This process's threads for online batches: a worker's entry point starts and stops them."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from django.conf import settings

from inference.serving.executors.workers.answering import Answering
from inference.serving.executors.workers.consumer import BatchConsumer

_FINISH_WITHIN_S = 20.0
_THREADS_PER_CHORE_THREAD = 2

_consumer: BatchConsumer | None = None


def start() -> None:
    """Take batches of this worker's pool, if web processes send any; call it when the runtime has started."""
    global _consumer
    if settings.EXECUTOR == "workers":
        threads = _THREADS_PER_CHORE_THREAD * settings.WORKER_THREADS
        _consumer = BatchConsumer(settings.REDIS_URL, pool=settings.POOL, threads=threads).start()


def stop(within_s: float = _FINISH_WITHIN_S) -> None:
    """Take no more, and finish what has been taken."""
    global _consumer
    if _consumer is not None:
        _consumer.stop(within_s)
    _consumer = None


def answer(told: Mapping[str, Any]) -> None:
    """Run one batch that came as an ordinary task, to a worker that was given the pool's queue as well."""
    _answering().answer(told)


@cache
def _answering() -> Answering:
    return Answering(settings.REDIS_URL)
