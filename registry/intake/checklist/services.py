"""Verbs of the checklist. People ask for a check; a worker starts it, tells each step, and ends it."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import DateTimeField, DurationField, Exists, ExpressionWrapper, OuterRef, Q, Value
from django.db.models.functions import Coalesce, Greatest, Now
from django.utils import timezone

from registry.access.policies import Right, task_actor
from registry.catalogue import services as catalogue
from registry.catalogue.models import Version
from registry.catalogue.route_changes import lock_model
from registry.catalogue.transitions import Status
from registry.errors import Conflict, Invalid, NotFound, StaleState
from registry.intake.checklist import dispatch
from registry.intake.checklist.facts import storable_facts
from registry.intake.checklist.line_transitions import ALLOWED, LineState
from registry.intake.checklist.models import ADVISORY, MAX_CODE, MAX_RUNTIME, STEPS, CheckLine, CheckRun
from registry.intake.checklist.selectors import (
    LOST_AT_MOST,
    WENT_AWAY,
    lost_in_a_row,
    open_question,
    running_run,
)
from registry.intake.checklist.transitions import RunState
from registry.kit.actors import Actor
from registry.kit.text import MAX_REASON
from registry.record.audit import record_change, storable
from registry.record.events import emit
from registry.record.kinds import register_kind

register_kind("recheck_failed", "A version that is ready failed a repeated check; it still answers.")

SILENT_AT_MOST = timedelta(minutes=15)
_UNHEARD_AFTER = timedelta(minutes=5)  # a queue may be long, and a message too many is a check too many
_ASKED_EVERY_S = 60
_SWEEP_AT_MOST = 100
_RUN_AGAIN = "The worker's log says why it ended; the check is run again by itself."
_MEND = (
    "The worker's log says why it ended, often that memory ran out; mend that, then check the version again."
)
_NO_REASON = "The step gave no reason."


@transaction.atomic
def ask_check(*, version: Version, by: Actor) -> Version:
    """Have a worker go through the version's checklist, for the first time or again.

    One that failed leaves that state here, not when a worker begins: so a message that nobody asked for, such as one
    that comes twice, checks no failed version.
    """
    by.check(Right.WRITE, model_id=version.model_id)
    lock_model(version.model)
    present = _version(version.pk)
    _refuse_unless_free(present)
    if present.status == Status.FAILED:
        present = catalogue.start_check(version=present, by=by)
    record_change(action="ask_check", subject=present, before=None, after={"status": present.status}, by=by)
    dispatch.check_version(present.pk)
    return present


@transaction.atomic
def start_run(*, version_id: int, runtime_version: str, only_unfinished: bool = False, by: Actor) -> CheckRun:
    """Begin a run with all of its lines waiting. A version that is ready stays so while it is checked again, which
    `only_unfinished` refuses: it is for who does not know whether the check it asks for was made meanwhile."""
    version = _version(version_id)
    by.check(Right.WRITE, model_id=version.model_id)
    lock_model(version.model)
    version = _version(version_id)
    _refuse_unless_free(version)
    if version.status == Status.FAILED:
        raise Conflict(f"{version} failed its checks; ask for another check of it first.")
    if only_unfinished and version.status == Status.READY:
        raise Conflict(f"{version} has passed its check meanwhile.")
    if version.status == Status.UPLOADED:
        version = catalogue.start_check(version=version, by=by)
    last = version.check_runs.order_by("-number").first()
    question = open_question(version, last)
    run = CheckRun.objects.create(
        version=version,
        number=last.number + 1 if last is not None else 1,
        runtime_version=storable(runtime_version, MAX_RUNTIME),
        asked_by=question.by if question is not None else storable(by.name, 200),
        started_at=timezone.now(),
    )
    CheckLine.objects.bulk_create(CheckLine(run=run, step=step) for step in STEPS)
    return run


@transaction.atomic
def start_line(*, run: CheckRun, step: str) -> CheckLine:
    """Say that a step is being done."""
    _touch(run)
    return _change(run, step, LineState.RUNNING, started_at=timezone.now())


@transaction.atomic
def note_progress(*, run: CheckRun, step: str, facts: Mapping[str, Any]) -> None:
    """Show how far a long step is. Say it at least every 15 minutes, or the run is given up."""
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
    """Say what a step found. A failed line has a reason; `code` is a stable word for programs."""
    if state not in {LineState.PASSED, LineState.FAILED, LineState.SKIPPED}:
        raise Invalid(f"A step ends as passed, failed or skipped, not as {state!r}.")
    _touch(run)
    now = timezone.now()
    told = _sentence(reason)
    return _change(
        run,
        step,
        LineState(state),
        code=storable(code, MAX_CODE),
        reason=(told or _NO_REASON) if state == LineState.FAILED else told,
        advice=_sentence(advice),
        facts=storable_facts(facts or {}),
        ended_at=_end_of_interval(now),
        **({} if state == LineState.SKIPPED else {"started_at": Coalesce("started_at", Value(now))}),
    )


@transaction.atomic
def end_run(*, run: CheckRun, signature: Mapping[str, Any] | None, by: Actor) -> CheckRun:
    """Judge the run by its lines, and on a first check the version with it.

    1. What still waits is skipped; what still runs has failed, because nobody is doing it any more.
    2. A step that is only advice, such as the golden set, may fail without failing the run.
    3. A first check makes the version ready or failed. One that is ready stays so: whoever wants to know is told.
    """
    version = _version(run.version_id)
    by.check(Right.WRITE, model_id=version.model_id)
    lock_model(version.model)
    version = _version(run.version_id)
    _close_lines(run)
    reason = _first_failure(run)
    if not reason and signature is None and version.status == Status.CHECKING:
        reason = "The checks found no signature, so nothing can be asked of this version."
    ended = _end(run, reason)
    _judge(version, ended, signature, by)
    return ended


def sweep(*, by: Actor | None = None) -> int:
    """End the runs whose worker went away, and ask again for what still waits for its check. Return how many ended.

    A file that may be what ends workers is not asked for for ever: after three runs in a row it has failed.
    """
    by = by or task_actor("registry.sweep_checks")
    ended = 0
    for run in CheckRun.objects.filter(_is_silent(), state=RunState.RUNNING)[:_SWEEP_AT_MOST]:
        ended += _give_up(run, by)
    _ask_again()
    return ended


@transaction.atomic
def _give_up(run: CheckRun, by: Actor) -> int:
    """Fail the run, unless its worker has just spoken. The version is to blame only if it happens again and again."""
    version = _version(run.version_id)
    lock_model(version.model)
    version = _version(run.version_id)
    silent = CheckRun.objects.filter(_is_silent(), pk=run.pk, state=RunState.RUNNING)
    now = timezone.now()
    if not silent.update(state=RunState.FAILED, reason=WENT_AWAY, ended_at=_end_of_interval(now)):
        return 0
    is_first, lost = version.status == Status.CHECKING, lost_in_a_row(version)
    is_over = is_first and lost >= LOST_AT_MOST
    run.lines.filter(state=LineState.RUNNING).update(
        state=LineState.FAILED, code="worker_lost", reason=WENT_AWAY,
        advice=_RUN_AGAIN if is_first and not is_over else _MEND, ended_at=_end_of_interval(now),
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
        reason=WENT_AWAY,
        by=by,
    )
    return 1


def _ask_again() -> None:
    """A message may get lost, and a worker too; what nobody checks is asked for again, until a worker takes it."""
    unheard = Q(status=Status.UPLOADED, created_at__lte=_ago(_UNHEARD_AFTER))
    left = Q(status=Status.CHECKING) & ~Exists(
        CheckRun.objects.filter(version=OuterRef("pk"), state=RunState.RUNNING)
    )
    found = Version.objects.filter(unheard | left).order_by("pk")
    for version_id in found.values_list("pk", flat=True)[:_SWEEP_AT_MOST]:
        dispatch.check_unfinished(version_id, expires_s=_ASKED_EVERY_S)


def _judge(version: Version, run: CheckRun, signature: Mapping[str, Any] | None, by: Actor) -> None:
    if version.status == Status.CHECKING:
        if run.state == RunState.FAILED:
            catalogue.fail_check(version=version, failure=run.reason, by=by)
        elif signature is not None:
            catalogue.pass_check(version=version, signature=signature, by=by)
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
    record_change(
        action="recheck",
        subject=version,
        before=None,
        after={"check": run.number, "state": run.state, "failure": run.reason},
        by=by,
    )


def _end(run: CheckRun, reason: str) -> CheckRun:
    running = CheckRun.objects.filter(pk=run.pk, state=RunState.RUNNING)
    state = RunState.FAILED if reason else RunState.PASSED
    if not running.update(state=state, reason=reason, ended_at=_end_of_interval(timezone.now())):
        raise StaleState(f"{run} has ended already; start another.")
    return CheckRun.objects.select_related("version__model").get(pk=run.pk)


def _close_lines(run: CheckRun) -> None:
    now = timezone.now()
    run.lines.filter(state=LineState.RUNNING).update(
        state=LineState.FAILED,
        code="interrupted",
        reason="The run ended before this step had.",
        ended_at=_end_of_interval(now),
    )
    run.lines.filter(state=LineState.WAITING).update(
        state=LineState.SKIPPED, code="not_reached", reason="The run ended before its turn.", ended_at=now
    )


def _first_failure(run: CheckRun) -> str:
    failed = run.lines.filter(state=LineState.FAILED).exclude(step__in=ADVISORY).order_by("id")
    return failed.values_list("reason", flat=True).first() or ""


def _change(run: CheckRun, step: str, to: LineState, **columns: Any) -> CheckLine:
    line = run.lines.filter(step=step).first()
    if line is None:
        raise NotFound(f"There is no step {step!r}; there are {', '.join(STEPS)}.")
    old = LineState(line.state)
    if to not in ALLOWED[old]:
        raise Conflict(f"{line} is {old}; from there it cannot become {to}.")
    if not CheckLine.objects.filter(pk=line.pk, state=old).update(state=to, **columns):
        raise StaleState(f"{line} is no longer {old}; somebody else moved it first.")
    return CheckLine.objects.get(pk=line.pk)


def _touch(run: CheckRun) -> None:
    """Note that the worker is alive; refuse one whose run was given up."""
    if not CheckRun.objects.filter(pk=run.pk, state=RunState.RUNNING).update(touched_at=Now()):
        raise StaleState(f"{run} has ended; stop working on it.")


def _refuse_unless_free(version: Version) -> None:
    if version.status == Status.ARCHIVED:
        raise Conflict(f"{version} is archived; bring it back to check it again.")
    run = running_run(version)
    if run is not None:
        raise Conflict(f"{version} is being checked now (check {run.number}); wait for its end.")


def _version(version_id: int) -> Version:
    found = Version.objects.select_related("model", "artifact").filter(pk=version_id).first()
    if found is None:
        raise NotFound("There is no such version.")
    return found


def _sentence(text: str) -> str:
    return storable(text, MAX_REASON).strip()


def _end_of_interval(now: datetime) -> Greatest:
    """Now; or the beginning, where the clock of the machine that began is ahead of this one's."""
    return Greatest(Coalesce("started_at", Value(now)), Value(now))


def _is_silent() -> Q:
    return Q(touched_at__lte=_ago(SILENT_AT_MOST))


def _ago(span: timedelta) -> "ExpressionWrapper[Any]":
    return ExpressionWrapper(Now() - Value(span, output_field=DurationField()), output_field=DateTimeField())
