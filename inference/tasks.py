"""Celery entry points."""

import threading

from celery import Task, shared_task
from django.conf import settings

from inference.checks import services as checks
from inference.checks.runner import check_version as check
from inference.engine.backends import SessionOptions
from inference.serving import services
from inference.serving.plans import session_options
from registry.access.policies import task_actor
from registry.catalogue.selectors import current_serving

CHECK = "inference.check_version"
RECHECK = "inference.recheck_runtime"
_AGAIN_S = 2
# A check may take minutes. Some threads of the worker stay free, or webhooks would wait for uploads.
_checking = threading.BoundedSemaphore(max(1, settings.WORKER_THREADS // 2))


@shared_task(name="inference.record_pulse", bind=True)
def record_pulse(self: Task) -> None:
    services.record_pulse(worker=self.request.hostname or "unknown")


@shared_task(name=CHECK, bind=True, max_retries=None)
def check_version(self: Task, version_id: int, asked_by: str = "") -> None:
    if not _checking.acquire(blocking=False):
        raise self.retry(countdown=_AGAIN_S)
    try:
        by = task_actor(f"{CHECK} for {asked_by}" if asked_by else CHECK)
        check(version_id=version_id, options_for=_options_for, by=by)
    finally:
        _checking.release()


@shared_task(name=RECHECK)
def recheck_runtime() -> None:
    checks.recheck_runtime(options_for=_options_for, by=task_actor(RECHECK))


def _options_for(version_id: int) -> SessionOptions:
    return session_options(current_serving(version_id))
