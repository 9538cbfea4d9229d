"""Read-only queries on the checklist."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Prefetch, QuerySet

from registry.catalogue.models import Version
from registry.errors import NotFound
from registry.intake.checklist.models import CheckLine, CheckRun
from registry.intake.checklist.transitions import LineState, RunState
from registry.kit.actors import Actor, in_scope
from registry.record.models import AuditRecord

LOST_AT_MOST = 3
WORKER_LOST = "The worker that ran this check went away."  # stored, and used to find lost runs
_WITH_LINES = Prefetch("lines", CheckLine.objects.order_by("id"))


def runs_for(by: Actor) -> QuerySet[CheckRun]:
    """The runs the actor may see, with their lines."""
    runs = CheckRun.objects.select_related("version__model").prefetch_related(_WITH_LINES)
    return in_scope(runs, by, model="version__model_id")


def newest_run(version: Version) -> CheckRun | None:
    """The version's last run with its lines."""
    runs = version.check_runs.select_related("version__model").prefetch_related(_WITH_LINES)
    return runs.order_by("-number").first()


def the_newest_run(version: Version) -> CheckRun:
    run = newest_run(version)
    if run is None:
        raise NotFound(f"{version} has not been checked yet.")
    return run


def last_facts(version: Version, step: str) -> dict[str, Any]:
    """What the step measured when it last passed; empty if it never did."""
    passed = CheckLine.objects.filter(run__version=version, step=step, state=LineState.PASSED)
    facts = passed.order_by("-id").values_list("facts", flat=True).first()
    return facts if isinstance(facts, dict) else {}


def running_run(version: Version) -> CheckRun | None:
    return version.check_runs.filter(state=RunState.RUNNING).first()


def lost_runs(version: Version) -> QuerySet[CheckRun]:
    """The runs that ended because their worker was lost."""
    return version.check_runs.filter(state=RunState.FAILED, reason=WORKER_LOST)


def lost_in_a_row(version: Version) -> int:
    """How many runs in a row, counted back from the newest, lost their worker."""
    last = version.check_runs.exclude(pk__in=lost_runs(version)).order_by("-number").first()
    return lost_runs(version).filter(number__gt=last.number if last is not None else 0).count()


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """A requested check that no worker has started."""

    by: str
    at: datetime


def open_check_request(version: Version, run: CheckRun | None) -> CheckRequest | None:
    """The last request for a check since the newest run started."""
    records = AuditRecord.objects.filter(object_kind="version", object_id=str(version.pk), action="ask_check")
    newest = records.order_by("-seq").values_list("actor_name", "at").first()
    if newest is None or (run is not None and newest[1] <= run.started_at):
        return None
    return CheckRequest(*newest)
