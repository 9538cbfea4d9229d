"""The checklist: people request a check; a worker starts it, reports each step, and ends it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Coalesce, Greatest, Now
from django.utils import timezone

from registry.access.policies import Right, task_actor
from registry.catalogue import services as catalogue
from registry.catalogue.models import Version
from registry.catalogue.route_changes import lock_model
from registry.catalogue.task_kinds import NO_FACTS, TaskFacts
from registry.catalogue.transitions import Status
from registry.errors import Conflict, Invalid, NotFound, StaleState
from registry.intake.checklist import dispatch
from registry.intake.checklist.models import (
    ADVISORY,
    MAX_CODE,
    MAX_RUNTIME,
    STEPS_OF_CONVERTED,
    CheckLine,
    CheckRun,
    steps_of,
)
from registry.intake.checklist.selectors import (
    LOST_AT_MOST,
    WORKER_LOST,
    lost_in_a_row,
    open_check_request,
    running_run,
)
from registry.intake.checklist.transitions import LINE_ALLOWED, LineState, RunState
from registry.kit.actors import Actor
from registry.kit.text import MAX_REASON, storable
from registry.record.audit import record_change
from registry.record.events import emit

SILENT_AT_MOST = timedelta(minutes=15)
_REQUEST_AGAIN_AFTER = timedelta(minutes=5)  # queues may be long, and an extra message is an extra check
_REQUEST_EVERY_S = 60
_MAX_SWEPT = 100
_RUN_AGAIN = "See the worker's log for the cause; the check is repeated automatically."
_FIX_WORKER = (
    "See the worker's log for the cause, often a lack of memory; fix that, then check the version again."
)
_NO_REASON = "The step gave no reason."
_LONGEST_TEXT, _DEEPEST = 10_000, 20  # limits for facts


@transaction.atomic
def ask_check(*, version: Version, by: Actor) -> Version:
    """Request a check by a worker, for the first time or again.

    A failed version changes its state here, not when a worker starts, so that a stray or repeated message cannot
    start another check of it.
    """
    present = _locked_version(version.pk, by)
    _refuse_unless_free(present)
    if present.status == Status.FAILED:
        present = catalogue.start_check(version=present, by=by)
    record_change(action="ask_check", subject=present, before=None, after={"status": present.status}, by=by)
    dispatch.check_version(present.pk)
    return present


@transaction.atomic
def start_run(*, version_id: int, runtime_version: str, only_unfinished: bool = False, by: Actor) -> CheckRun:
    """Start a run with all its steps waiting. A ready version stays ready while it is checked again.

    `only_unfinished` refuses ready versions, for callers that cannot know whether the check finished in the meantime.
    """
    version = _locked_version(version_id, by)
    _refuse_unless_free(version)
    if version.status == Status.FAILED:
        raise Conflict(f"{version} failed its checks; request another check first.")
    if only_unfinished and version.status == Status.READY:
        raise Conflict(f"{version} has passed its check in the meantime.")
    if version.status == Status.UPLOADED:
        version = catalogue.start_check(version=version, by=by)
    last = version.check_runs.order_by("-number").first()
    requested = open_check_request(version, last)
    run = CheckRun.objects.create(
        version=version,
        number=last.number + 1 if last is not None else 1,
        runtime_version=storable(runtime_version, MAX_RUNTIME),
        asked_by=requested.by if requested is not None else storable(by.name, 200),
        started_at=timezone.now(),
    )
    CheckLine.objects.bulk_create(CheckLine(run=run, step=step) for step in steps_of(version))
    return run


@transaction.atomic
def start_line(*, run: CheckRun, step: str) -> CheckLine:
    """Mark a step as running."""
    _touch(run)
    return _change(run, step, LineState.RUNNING, started_at=timezone.now())


@transaction.atomic
def note_progress(*, run: CheckRun, step: str, facts: Mapping[str, Any]) -> None:
    """Show the progress of a long step. Call it at least every 15 minutes, or the run is abandoned."""
    _touch(run)
    run.lines.filter(step=step, state=LineState.RUNNING).update(facts=storable_facts(facts))


@transaction.atomic
def end_line(
    *,
    run: CheckRun,
    step: str,
    state: str,
    code: str = "",
    reason: str = "",
    advice: str = "",
    facts: Mapping[str, Any] | None = None,
) -> CheckLine:
    """Record the result of a step. A failed one has a reason; `code` is stable, for programs."""
    if state not in {LineState.PASSED, LineState.FAILED, LineState.SKIPPED}:
        raise Invalid(f"A step ends as passed, failed or skipped, not as {state!r}.")
    _touch(run)
    now = timezone.now()
    text = _sentence(reason)
    return _change(
        run,
        step,
        LineState(state),
        code=storable(code, MAX_CODE),
        reason=(text or _NO_REASON) if state == LineState.FAILED else text,
        advice=_sentence(advice),
        facts=storable_facts(facts or {}),
        ended_at=_end_of_interval(now),
        **({} if state == LineState.SKIPPED else {"started_at": Coalesce("started_at", Value(now))}),
    )


@transaction.atomic
def end_run(
    *, run: CheckRun, signature: Mapping[str, Any] | None, task: TaskFacts = NO_FACTS, by: Actor
) -> CheckRun:
    """End the run with the result of its steps; a first check also decides the version's status.

    1. Waiting steps are skipped; running ones fail, because no worker is working on them.
    2. Advisory steps, such as the golden set, may fail without failing the run.
    3. A first check makes the version ready or failed. A ready version stays ready; an event reports a failure.
    4. What a passed check found out about the task is stored, also if an earlier check found something else.
    """
    version = _locked_version(run.version_id, by)
    _close_lines(run)
    reason = _first_failure(run)
    if not reason and signature is None and version.status == Status.CHECKING:
        reason = "The checks found no signature, so this version cannot answer requests."
    ended = _end(run, reason)
    _judge(version, ended, signature, task, by)
    return ended


def sweep(*, by: Actor | None = None) -> int:
    """End the runs whose worker was lost, and re-request checks that no worker started. Return how many ended.

    A version whose file may be crashing workers fails after three lost runs in a row.
    """
    by = by or task_actor("registry.sweep_checks")
    ended = 0
    for run in _silent_runs()[:_MAX_SWEPT]:
        ended += _give_up(run, by)
    _request_again()
    return ended


@transaction.atomic
def _give_up(run: CheckRun, by: Actor) -> int:
    """Fail the run, unless its worker has just reported. The version fails only if this happens repeatedly."""
    version = _version(run.version_id)
    lock_model(version.model)
    version = _version(run.version_id)
    now = timezone.now()
    silent = _silent_runs().filter(pk=run.pk)
    if not silent.update(state=RunState.FAILED, reason=WORKER_LOST, ended_at=_end_of_interval(now)):
        return 0
    is_first, lost = version.status == Status.CHECKING, lost_in_a_row(version)
    is_over = is_first and lost >= LOST_AT_MOST
    run.lines.filter(state=LineState.RUNNING).update(
        state=LineState.FAILED, code="worker_lost", reason=WORKER_LOST,
        advice=_RUN_AGAIN if is_first and not is_over else _FIX_WORKER, ended_at=_end_of_interval(now),
    )  # fmt: skip
    _close_lines(run)
    if is_over:
        catalogue.fail_check(
            version=version, failure=f"The worker was lost {lost} times while checking this file.", by=by
        )
    record_change(
        action="give_up_check",
        subject=version,
        before={"check": run.number, "state": RunState.RUNNING},
        after={"check": run.number, "state": RunState.FAILED},
        reason=WORKER_LOST,
        by=by,
    )
    return 1


def _request_again() -> None:
    """Re-request the checks that no worker is running, because messages and workers can be lost."""
    not_started = Q(status=Status.UPLOADED, created_at__lte=Now() - _REQUEST_AGAIN_AFTER)
    abandoned = Q(status=Status.CHECKING) & ~Exists(
        CheckRun.objects.filter(version=OuterRef("pk"), state=RunState.RUNNING)
    )
    versions = Version.objects.filter(not_started | abandoned).order_by("pk")
    for version_id in versions.values_list("pk", flat=True)[:_MAX_SWEPT]:
        dispatch.check_unfinished(version_id, expires_s=_REQUEST_EVERY_S)


def _judge(
    version: Version, run: CheckRun, signature: Mapping[str, Any] | None, task: TaskFacts, by: Actor
) -> None:
    if version.status == Status.CHECKING:
        if run.state == RunState.FAILED:
            catalogue.fail_check(version=version, failure=run.reason, by=by)
        elif signature is not None:
            catalogue.pass_check(version=version, signature=signature, task=task, by=by)
        return
    if run.state == RunState.FAILED:
        emit(
            "recheck_failed",
            subject=version,
            data={
                "model": version.model.slug,
                "version": version.number,
                "check": run.number,
                "failure": run.reason,
            },
            summary=f"{version} is {version.status} but failed check {run.number}: {run.reason}",
        )
    old = TaskFacts(version.preprocessing, version.may_pad)
    is_changed = run.state == RunState.PASSED and signature is not None and task != old
    if is_changed:
        catalogue.update_task_facts(version=version, task=task, by=by)
    record_change(
        action="recheck",
        subject=version,
        before=asdict(old) if is_changed else None,
        after={"check": run.number, "state": run.state, "failure": run.reason}
        | (asdict(task) if is_changed else {}),
        by=by,
    )


def _end(run: CheckRun, reason: str) -> CheckRun:
    running = CheckRun.objects.filter(pk=run.pk, state=RunState.RUNNING)
    state = RunState.FAILED if reason else RunState.PASSED
    if not running.update(state=state, reason=reason, ended_at=_end_of_interval(timezone.now())):
        raise StaleState(f"{run} has already ended; start another.")
    return CheckRun.objects.select_related("version__model").get(pk=run.pk)


def _close_lines(run: CheckRun) -> None:
    now = timezone.now()
    run.lines.filter(state=LineState.RUNNING).update(
        state=LineState.FAILED,
        code="interrupted",
        reason="The run ended before this step did.",
        ended_at=_end_of_interval(now),
    )
    run.lines.filter(state=LineState.WAITING).update(
        state=LineState.SKIPPED, code="not_reached", reason="The run ended before this step.", ended_at=now
    )


def _first_failure(run: CheckRun) -> str:
    failed = run.lines.filter(state=LineState.FAILED).exclude(step__in=ADVISORY).order_by("id")
    return failed.values_list("reason", flat=True).first() or ""


def _change(run: CheckRun, step: str, to: LineState, **columns: Any) -> CheckLine:
    line = run.lines.filter(step=step).first()
    if line is None:
        raise NotFound(f"There is no step {step!r}; the steps are {', '.join(STEPS_OF_CONVERTED)}.")
    old = LineState(line.state)
    if to not in LINE_ALLOWED[old]:
        raise Conflict(f"{line} is {old}; it cannot become {to}.")
    if not CheckLine.objects.filter(pk=line.pk, state=old).update(state=to, **columns):
        raise StaleState(f"{line} is no longer {old}: someone else changed it first.")
    return CheckLine.objects.get(pk=line.pk)


def _touch(run: CheckRun) -> None:
    """Record that the worker is alive; raise StaleState if its run has ended."""
    if not CheckRun.objects.filter(pk=run.pk, state=RunState.RUNNING).update(touched_at=Now()):
        raise StaleState(f"{run} has ended; stop working on it.")


def _refuse_unless_free(version: Version) -> None:
    if version.status == Status.ARCHIVED:
        raise Conflict(f"{version} is archived; unarchive it to check it again.")
    run = running_run(version)
    if run is not None:
        raise Conflict(f"{version} is being checked now (check {run.number}); wait until it ends.")


def _version(version_id: int) -> Version:
    version = Version.objects.select_related("model", "artifact").filter(pk=version_id).first()
    if version is None:
        raise NotFound("There is no such version.")
    return version


def _locked_version(version_id: int, by: Actor) -> Version:
    """Lock the version's Model after checking the right, and read the version again."""
    version = _version(version_id)
    by.check(Right.WRITE, model_id=version.model_id)
    lock_model(version.model)
    return _version(version_id)


def _sentence(text: str) -> str:
    return storable(text, MAX_REASON).strip()


def _end_of_interval(now: datetime) -> Greatest:
    """Now, or the start time if the clock of the machine that set it is ahead of ours."""
    return Greatest(Coalesce("started_at", Value(now)), Value(now))


def _silent_runs() -> QuerySet[CheckRun]:
    return CheckRun.objects.filter(state=RunState.RUNNING, touched_at__lte=Now() - SILENT_AT_MOST)


def storable_facts(value: Any, depth: int = 0) -> Any:
    """Copy JSON-like values; whatever JSON or PostgreSQL cannot store becomes text."""
    if depth > _DEEPEST:
        return "…"
    if isinstance(value, str):
        return storable(value, _LONGEST_TEXT)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return {
            storable(str(name), _LONGEST_TEXT): storable_facts(one, depth + 1) for name, one in value.items()
        }
    if isinstance(value, (Sequence, set, frozenset)) and not isinstance(value, (bytes, bytearray)):
        return [storable_facts(one, depth + 1) for one in value]
    return storable(str(value), _LONGEST_TEXT)
