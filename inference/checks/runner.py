"""Goes through the checklist of a version, step by step, and reports each to the registry as it begins and ends.

Runs in a worker, or inside a command; never in a web process.
"""

from collections.abc import Callable
from functools import partial

import structlog

from inference.checks.proofs import runtime_version
from inference.checks.steps import loading
from inference.checks.steps.batching import prove_batches
from inference.checks.steps.conformance import run_examples
from inference.checks.steps.difference import compare_signatures
from inference.checks.steps.findings import Found, StepFailed, StepSkipped
from inference.checks.steps.gate import pass_gate
from inference.checks.steps.golden import measure_golden
from inference.checks.steps.subject import OptionsFor, Subject
from registry.catalogue.models import Version
from registry.errors import Conflict
from registry.intake.checklist import services as checklist
from registry.intake.checklist.models import ADVISORY, STEPS, CheckRun, Step
from registry.intake.checklist.transitions import LineState
from registry.kit.actors import Actor

log = structlog.get_logger("roundhouse.checks")


def check_version(
    *, version_id: int, options_for: OptionsFor, only_unfinished: bool = False, by: Actor
) -> CheckRun | None:
    """Go through the list as a task does: a version that is being checked, or cannot be, is left alone.

    A message may come twice, or after a sweeper gave the run up: whoever is late stops.
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
    """Run all steps in their order and end the run.

    1. A step that fails is the last one, unless it only advises; the others are skipped and say why.
    2. Advice, the golden set's and that of the differences, is for promotion: the version becomes ready all the same.
    3. Only a fault of ours escapes, and leaves the run to the sweeper; then the version can be checked again.
    """
    run = checklist.start_run(
        version_id=version_id, runtime_version=runtime_version(), only_unfinished=only_unfinished, by=by
    )
    checked = Version.objects.select_related("model", "artifact").get(pk=version_id)
    failed: str | None = None
    with Subject(checked, options_for) as subject:
        for step in STEPS:
            if failed is not None:
                _skip(run, step, "not_reached", f"Skipped because '{Step(failed).label}' failed.")
            elif not _is_done(run, subject, step, by) and step not in ADVISORY:
                failed = step
        signature = subject.signature.to_json() if subject.signature is not None and not failed else None
    return checklist.end_run(run=run, signature=signature, by=by)


def _is_done(run: CheckRun, subject: Subject, step: str, by: Actor) -> bool:
    """Do one step; False: it failed."""
    checklist.start_line(run=run, step=step)
    subject.progress = lambda facts: checklist.note_progress(run=run, step=step, facts=facts)
    try:
        found = _steps(by)[step](subject)
    except StepSkipped as skipped:
        _skip(run, step, skipped.code, skipped.reason, skipped.advice)
    except StepFailed as failure:
        _end(run, step, LineState.FAILED, Found(failure.facts, failure.code, failure.reason, failure.advice))
        return False
    else:
        _end(run, step, LineState.PASSED, found)
    return True


def _steps(by: Actor) -> dict[str, Callable[[Subject], Found]]:
    return {
        "gate": pass_gate,
        "probe": loading.run_probe,
        "signature": loading.read_signature,
        "warmup": loading.warm_up,
        "batching": prove_batches,
        "conformance": run_examples,
        "golden": partial(measure_golden, by=by),
        "diff": compare_signatures,
    }


def _skip(run: CheckRun, step: str, code: str, reason: str, advice: str = "") -> None:
    _end(run, step, LineState.SKIPPED, Found(code=code, reason=reason, advice=advice))


def _end(run: CheckRun, step: str, state: LineState, found: Found) -> None:
    checklist.end_line(
        run=run, step=step, state=state, code=found.code, reason=found.reason, advice=found.advice, facts=found.facts
    )  # fmt: skip
