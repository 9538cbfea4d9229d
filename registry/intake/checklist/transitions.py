"""The states of a check run and the moves between them."""

from django.db import models


class RunState(models.TextChoices):
    """How a run through the checklist stands."""

    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"


ALLOWED: dict[RunState, frozenset[RunState]] = {
    RunState.RUNNING: frozenset({RunState.PASSED, RunState.FAILED}),
    RunState.PASSED: frozenset(),
    RunState.FAILED: frozenset(),
}
MEANING: dict[RunState, str] = {
    RunState.RUNNING: "A worker goes through the list. Each version has at most one such run.",
    RunState.PASSED: "No step failed that decides whether the version may answer.",
    RunState.FAILED: "Such a step failed, or the worker went away.",
}
