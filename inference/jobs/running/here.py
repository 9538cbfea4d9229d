"""This process's runner: started once by a worker, hinted by tasks."""

from django.conf import settings

from inference.jobs.running.runner import JobRunner
from inference.serving.worker_process import STOP_HOOKS, WATCHES

_runner: JobRunner | None = None


def start() -> None:
    """Start doing chunks; the runtime must have been started. It ends with the worker, in order."""
    global _runner
    _runner = JobRunner(
        pool=settings.POOL if settings.EXECUTOR == "workers" else None,
        threads=settings.JOB_THREADS,
        # A worker that answers online must not answer slowly because the same version does a job.
        steps_back=settings.EXECUTOR == "inprocess",
    )
    STOP_HOOKS.add("jobs", stop)
    WATCHES.add("jobs", _runner.watched)
    _runner.start()


def stop(timeout_s: float) -> None:
    if _runner is not None:
        _runner.stop(timeout_s=timeout_s)


def hint() -> None:
    """Something waits, perhaps. In a process without a runner nothing happens."""
    if _runner is not None:
        _runner.hint()
