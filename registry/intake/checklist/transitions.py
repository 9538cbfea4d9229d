"""The states of a check run and of its steps, and the transitions between them."""

from django.db import models


class RunState(models.TextChoices):
    """The state of a check run."""

    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"


ALLOWED: dict[RunState, frozenset[RunState]] = {
    RunState.RUNNING: frozenset({RunState.PASSED, RunState.FAILED}),
    RunState.PASSED: frozenset(),
    RunState.FAILED: frozenset(),
}
MEANING: dict[RunState, str] = {
    RunState.RUNNING: "A worker is going through the steps. Each version has at most one such run.",
    RunState.PASSED: "All steps that decide whether the version may answer have passed.",
    RunState.FAILED: "A step that decides whether the version may answer failed, or the worker was lost.",
}


class LineState(models.TextChoices):
    """The state of one step of a check run."""

    WAITING = "waiting"
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


_ENDED = frozenset({LineState.PASSED, LineState.FAILED, LineState.SKIPPED})
LINE_ALLOWED: dict[LineState, frozenset[LineState]] = {
    LineState.WAITING: frozenset(
        {LineState.RUNNING, *_ENDED}
    ),  # a step that finishes immediately need not be shown as running
    LineState.RUNNING: _ENDED,
    **dict.fromkeys((LineState.PASSED, LineState.FAILED, LineState.SKIPPED), frozenset()),
}
LINE_MEANING: dict[LineState, str] = {
    LineState.WAITING: "Not started.",
    LineState.RUNNING: "In progress.",
    LineState.PASSED: "No problem was found.",
    LineState.FAILED: "A problem was found; the step says what it is and what to do about it.",
    LineState.SKIPPED: "There was nothing to do, or an earlier step failed.",
}
