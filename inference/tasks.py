"""Celery entry points."""

from typing import Any

from celery import Task, shared_task
from django.conf import settings

from inference.checks import services as checks
from inference.checks.runner import CheckQueue
from inference.checks.runner import check_version as check
from inference.engine.backends import SessionOptions
from inference.measure import compaction
from inference.scratch import sweep_scratch_folders
from inference.serving import online_batches, services
from inference.serving.executors.workers.messages import RUN_BATCH
from inference.serving.plans import session_options
from inference.serving.stewards import services as steward_services
from registry.access.policies import task_actor
from registry.catalogue.selectors import current_serving
from registry.traffic.services import settle_waiting_splits

CHECK = "inference.check_version"
RECHECK = "inference.recheck_runtime"
# A check may take minutes. Some threads of the worker stay free, so that webhooks do not wait for checks.
_turns: CheckQueue[tuple[int, str, bool]] = CheckQueue(max(1, settings.WORKER_THREADS // 2))


@shared_task(name="inference.sweep_engines")
def sweep_engines() -> None:
    steward_services.sweep_engines()
    sweep_scratch_folders()


@shared_task(name="inference.settle_splits")
def settle_splits() -> None:
    settle_waiting_splits(by=task_actor("inference.settle_splits"))


@shared_task(name="inference.merge_measurements")
def merge_measurements() -> None:
    compaction.merge_measurements()


@shared_task(name="inference.record_pulse", bind=True)
def record_pulse(self: Task) -> None:
    services.record_pulse(worker=self.request.hostname or "unknown")


@shared_task(name=RUN_BATCH, acks_late=False)  # the sender resends a lost batch
def run_batch(**kwargs: Any) -> None:
    online_batches.run_task(kwargs)


@shared_task(name=CHECK)
def check_version(version_id: int, asked_by: str = "", only_unfinished: bool = False) -> None:
    _turns.do((version_id, asked_by, only_unfinished), _check)


def _check(arguments: tuple[int, str, bool]) -> None:
    version_id, asked_by, only_unfinished = arguments
    by = task_actor(f"{CHECK} for {asked_by}" if asked_by else CHECK)
    check(version_id=version_id, options_for=_options_for, only_unfinished=only_unfinished, by=by)


@shared_task(name=RECHECK)
def recheck_runtime() -> None:
    checks.recheck_runtime(options_for=_options_for, by=task_actor(RECHECK))


def _options_for(version_id: int) -> SessionOptions:
    return session_options(current_serving(version_id))
