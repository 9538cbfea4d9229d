"""A worker's life around Celery's: warm before it takes anything, watched while it works, ended in order."""

import os
import threading

import structlog
from celery.worker import state
from django.conf import settings

from inference.checks.scratch import sweep_scratch_folders
from inference.doors.celery import here as questions
from inference.jobs.celery_door import here as orders
from inference.jobs.running import here as jobs
from inference.serving import online_batches, runtime
from inference.serving.worker_process import STOP_HOOKS, WATCHES, Shutdown, WorkerWatchdog
from roundhouse.consumer import deliveries

log = structlog.get_logger("roundhouse.worker")

_LAST_DRAIN_S = 1.0

_watchdog = WorkerWatchdog(settings.WATCHDOG_S)
_farewell: Shutdown | None = None
_has_ended = threading.Event()


def start() -> None:
    """Load what this worker answers for, then take work."""
    sweep_scratch_folders()  # a chore does it too, on whichever host it runs
    runtime.start_in_worker()
    STOP_HOOKS.add("batches", online_batches.stop)
    online_batches.start()
    jobs.start()
    orders.start()
    questions.start()
    WATCHES.add("queues", deliveries.seen)
    _watchdog.start()


def begin_end() -> None:
    """Take nothing new from now on. Called in a signal handler, so all of it happens in threads."""
    global _farewell
    if _farewell is None:
        _watchdog.stop()
        _farewell = Shutdown()
        threading.Thread(target=_end_in_time, args=(_farewell,), name="end-in-time", daemon=True).start()


def end() -> None:
    """Celery's threads have ended; wait for the others, then leave."""
    if _farewell is not None:
        _farewell.wait()
    runtime.stop()
    _has_ended.set()


def _end_in_time(farewell: Shutdown) -> None:
    """A task that runs on must not keep the process until somebody kills it: its row says what is to be done again."""
    farewell.wait()
    if not _has_ended.wait(farewell.left_s):
        log.warning("the worker ends although a task still runs", running=len(state.active_requests))
        runtime.stop(within_s=_LAST_DRAIN_S)
        os._exit(0)
