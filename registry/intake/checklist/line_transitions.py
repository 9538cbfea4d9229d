"""The states of one step of a check run and the moves between them."""

from django.db import models


class LineState(models.TextChoices):
    """How one step stands."""

    WAITING = "waiting"
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


_ENDS = frozenset({LineState.PASSED, LineState.FAILED, LineState.SKIPPED})
ALLOWED: dict[LineState, frozenset[LineState]] = {
    LineState.WAITING: frozenset({LineState.RUNNING, *_ENDS}),  # what needs no time need not be seen running
    LineState.RUNNING: _ENDS,
    LineState.PASSED: frozenset(),
    LineState.FAILED: frozenset(),
    LineState.SKIPPED: frozenset(),
}
MEANING: dict[LineState, str] = {
    LineState.WAITING: "Its turn has not come.",
    LineState.RUNNING: "It is being done.",
    LineState.PASSED: "Nothing was found wrong.",
    LineState.FAILED: "Something was found wrong; the line says what, and what to do.",
    LineState.SKIPPED: "There was nothing to do, or an earlier step failed.",
}
