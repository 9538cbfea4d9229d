"""The states of a check run and of its steps, and the moves between them."""

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
    RunState.PASSED: "Every step that decides whether the version may answer passed.",
    RunState.FAILED: "Such a step failed, or the worker was lost.",
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
    ),  # a step that takes no time need not be shown running
    LineState.RUNNING: _ENDED,
    **dict.fromkeys((LineState.PASSED, LineState.FAILED, LineState.SKIPPED), frozenset()),
}
LINE_MEANING: dict[LineState, str] = {
    LineState.WAITING: "Not started.",
    LineState.RUNNING: "In progress.",
    LineState.PASSED: "Nothing wrong was found.",
    LineState.FAILED: "Something wrong was found; the step says what, and what to do.",
    LineState.SKIPPED: "There was nothing to do, or an earlier step failed.",
}
