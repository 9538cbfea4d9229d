"""Reruns merged requests separately, and turns merging off for a version whose answers differ."""

import threading

import structlog
from django.db import transaction

from inference.serving.executors.executor import Executor
from registry.access.policies import task_actor
from registry.catalogue.models import Version
from registry.catalogue.route_changes import lock_model
from registry.catalogue.selectors import current_serving
from registry.catalogue.services import change_serving
from registry.kit.actors import Actor
from registry.kit.loops import Loop, ThreadGroup
from registry.record.events import emit

log = structlog.get_logger("roundhouse.runtime")

_RUN_WITHIN_S = 5.0  # a sample that cannot run within that time is dropped


class MergeAudit:
    """A thread that audits the executor's samples. The executor sets `has_samples` when there are some."""

    def __init__(self, executor: Executor, has_samples: threading.Event) -> None:
        self._executor = executor
        self._differences: list[tuple[int, str]] = []
        self._threads = ThreadGroup(
            "merge-audit",
            Loop("merge-audit", self._audit, every_s=60.0, meanwhile="merged requests are not audited"),
            wake_event=has_samples,
        )

    def start(self) -> None:
        self._threads.start()

    def stop(self) -> None:
        """Do not wait for a run under way: closing the engine, which comes next, ends it."""
        self._threads.stop(0.0)

    def _audit(self) -> bool:
        """Audit one sample of each version; True while there are more. Findings are kept until they are written."""
        self._differences += self._executor.audit_merging(timeout_s=_RUN_WITHIN_S)
        while self._differences:
            version_id, difference = self._differences[0]
            end_merging(version_id=version_id, difference=difference, by=task_actor("inference.merge_audit"))
            del self._differences[0]
        return self._executor.has_samples


@transaction.atomic
def end_merging(*, version_id: int, difference: str, by: Actor) -> None:
    """Turn merging off for a version in all processes, and emit an event. Only a person can turn it on again."""
    version = Version.objects.select_related("model").get(pk=version_id)
    lock_model(version.model)
    if (
        current_serving(version_id).merging != "proven"
    ):  # another process was faster, or a person has changed it
        return
    log.error("merging ended", version_id=version_id, reason=difference)
    change_serving(
        version=version, changes={"merging": "never"}, reason=f"Found by an audit: {difference}", by=by
    )
    emit(
        "merging_ended",
        subject=version,
        data={"model": version.model.slug, "version": version.number, "difference": difference},
        summary=f"Requests for {version} no longer share runs. {difference}",
    )
