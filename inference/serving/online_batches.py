"""This worker's consumer of online batches; the worker's entry point starts and stops it."""

from typing import Any

from django.conf import settings

from inference.serving import runtime
from inference.serving.executors.workers.consumer import BatchConsumer, run_one

_FINISH_WITHIN_S = 20.0
_BATCHES_PER_THREAD = 2

_consumer: BatchConsumer | None = None


def start() -> None:
    """Take batches of this worker's pool, if web processes send any. The runtime must have been started."""
    global _consumer
    if settings.EXECUTOR == "workers":
        at_once = _BATCHES_PER_THREAD * settings.WORKER_THREADS
        _consumer = BatchConsumer(
            settings.REDIS_URL, runtime.started(), pool=settings.POOL, at_once=at_once
        ).start()


def stop(within_s: float = _FINISH_WITHIN_S) -> None:
    """Take no more batches, and finish those under way."""
    global _consumer
    if _consumer is not None:
        _consumer.stop(within_s)
    _consumer = None


def run_task(kwargs: dict[str, Any]) -> None:
    """Run a batch that arrived as an ordinary task, in a worker that consumes the pool's queue through Celery."""
    engine = runtime.started()
    engine.loop.wait_for(run_one(settings.REDIS_URL, engine, kwargs))
