"""Runs a version's checklist step by step, and reports the start and end of each step to the registry.

Runs in a worker or inside a command, never in a web process.
"""

import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

import structlog

from inference.checks.proofs import runtime_version
from inference.checks.steps.base import CheckContext, OptionsFor, StepFailed, StepPassed, StepSkipped
from inference.checks.steps.conformance import run_examples
from inference.checks.steps.conversion import compare_with_source, convert
from inference.checks.steps.golden import measure_golden
from inference.checks.steps.performance import prove_batches, warm_up
from inference.checks.steps.structure import compare_signatures, read_signature, run_probe, scan_structure
from registry.catalogue.models import Version
from registry.errors import Conflict
from registry.intake.checklist import services as checklist
from registry.intake.checklist.models import ADVISORY, CheckRun, Step, steps_of
from registry.intake.checklist.transitions import LineState
from registry.kit.actors import Actor

log = structlog.get_logger("roundhouse.checks")
T = TypeVar("T")


class CheckQueue(Generic[T]):
    """Limits how many checks a process runs at once. It has no threads of its own: callers run the waiting items.

    Waiting items are kept in memory only, and are lost if the process dies.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._lock = threading.Lock()
        self._waiting: deque[T] = deque()
        self._taken = 0

    def do(self, item: T, work: Callable[[T], object]) -> None:
        """Do the work, then any items added in the meantime. If all places are taken, a running caller does it."""
        with self._lock:
            if item not in self._waiting:  # it may be added again before its turn
                self._waiting.append(item)
            if self._taken >= self._places:
                return
            self._taken += 1
        while (next_item := self._next()) is not None:
            try:
                work(next_item[0])
            except Exception as error:  # the other items must still run
                log.error("check ended in an error", item=next_item[0], exc_info=error)

    def _next(self) -> tuple[T] | None:
        with self._lock:
            if self._waiting:
                return (self._waiting.popleft(),)
            self._taken -= 1
            return None


def check_version(
    *, version_id: int, options_for: OptionsFor, only_unfinished: bool = False, by: Actor
) -> CheckRun | None:
    """Run the checks as a task does: skip a version that is being checked already or cannot be checked.

    A message may arrive twice, or after the sweeper has given up on the run; the later one then stops.
    """
    try:
        return run_checks(
            version_id=version_id, options_for=options_for, only_unfinished=only_unfinished, by=by
        )
    except Conflict as error:
        log.info("check is not run", version_id=version_id, reason=str(error))
        return None


def run_checks(
    *, version_id: int, options_for: OptionsFor, only_unfinished: bool = False, by: Actor
) -> CheckRun:
    """Run all steps in order, and end the run.

    1. After a step fails, the others are skipped with that reason, unless the step is only advisory.
    2. Advisory steps (golden set, differences) matter only for promotion: the version still becomes ready.
    3. Only internal errors are raised. The run is then left to the sweeper, and the version can be checked again.
    """
    run = checklist.start_run(
        version_id=version_id, runtime_version=runtime_version(), only_unfinished=only_unfinished, by=by
    )
    version = Version.objects.select_related("model", "artifact").get(pk=version_id)
    failed: str | None = None
    with CheckContext(version, options_for) as context:
        for step in steps_of(version):
            if failed is not None:
                reason = f"Skipped because '{Step(failed).label}' failed."
                _end(run, step, LineState.SKIPPED, StepPassed(code="not_reached", reason=reason))
            elif not _run_step(run, context, step, by) and step not in ADVISORY:
                failed = step
        if context.signature is None or failed:
            return checklist.end_run(run=run, signature=None, by=by)
        return checklist.end_run(
            run=run, signature=context.signature.to_json(), task=context.task_facts, by=by
        )


def _run_step(run: CheckRun, context: CheckContext, step: str, by: Actor) -> bool:
    """Run one step; False if it failed."""
    checklist.start_line(run=run, step=step)
    context.progress = lambda facts: checklist.note_progress(run=run, step=step, facts=facts)
    try:
        result = _steps(by)[step](context)
    except StepSkipped as skipped:
        _end(run, step, LineState.SKIPPED, skipped)
    except StepFailed as failure:
        _end(run, step, LineState.FAILED, failure)
        return False
    else:
        _end(run, step, LineState.PASSED, result)
    return True


def _steps(by: Actor) -> dict[str, Callable[[CheckContext], StepPassed]]:
    return {
        "converted": partial(convert, by=by),
        "gate": scan_structure,
        "probe": run_probe,
        "signature": read_signature,
        "warmup": warm_up,
        "batching": prove_batches,
        "conformance": run_examples,
        "parity": compare_with_source,
        "golden": partial(measure_golden, by=by),
        "diff": compare_signatures,
    }


def _end(run: CheckRun, step: str, state: LineState, end: StepPassed | StepFailed | StepSkipped) -> None:
    checklist.end_line(
        run=run, step=step, state=state, code=end.code, reason=end.reason, advice=end.advice, facts=end.facts
    )  # fmt: skip
