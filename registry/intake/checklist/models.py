"""Rows of the checklist: runs, and a line for each step."""

from collections.abc import Sequence

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from registry.catalogue.models import Version, WrittenOnce
from registry.intake.checklist.transitions import LineState, RunState
from registry.kit.text import MAX_REASON

MAX_CODE, MAX_RUNTIME = 64, 64
STEPS = ("gate", "probe", "signature", "warmup", "batching", "conformance", "golden", "diff")
# Of a version that comes in another format: it is converted first, and then compared with what it was.
STEPS_OF_CONVERTED = ("converted", *STEPS[:6], "parity", *STEPS[6:])
ADVISORY = ("golden", "diff")  # they matter for promotion, not for whether the version may answer


class Step(models.TextChoices):
    """The steps, in order; a label says what the step checks."""

    CONVERTED = "converted", "Conversion"
    GATE = "gate", "File"
    PROBE = "probe", "Loads"
    SIGNATURE = "signature", "Signature"
    WARMUP = "warmup", "Speed and memory"
    BATCHING = "batching", "Batch proof"
    CONFORMANCE = "conformance", "Examples"
    PARITY = "parity", "Same answers as before conversion"
    GOLDEN = "golden", "Golden set"
    DIFF = "diff", "Differences from the live version"


def steps_of(version: Version) -> Sequence[str]:
    """The version's steps, in order."""
    return STEPS if version.source_id is None else STEPS_OF_CONVERTED


class CheckRun(WrittenOnce):
    """One run of the checklist for a version."""

    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="check_runs")
    number = models.PositiveIntegerField(editable=False)
    state = models.CharField(max_length=8, choices=RunState, default=RunState.RUNNING, editable=False)
    reason = models.CharField(max_length=MAX_REASON, blank=True, editable=False)
    runtime_version = models.CharField("runtime", max_length=MAX_RUNTIME, editable=False)
    asked_by = models.CharField("asked by", max_length=200, editable=False)
    started_at = models.DateTimeField(editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)
    # When the worker last reported, by the database's clock.
    touched_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = "check run"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["version", "number"], name="check_run_number_per_version"),
            models.UniqueConstraint(
                fields=["version"], condition=Q(state=RunState.RUNNING), name="one_running_check_per_version"
            ),
            models.CheckConstraint(condition=Q(number__gte=1), name="check_run_number_from_1"),
            models.CheckConstraint(
                condition=Q(state=RunState.RUNNING, ended_at__isnull=True)
                | Q(
                    state__in=[RunState.PASSED, RunState.FAILED],
                    ended_at__isnull=False,
                    ended_at__gte=F("started_at"),
                ),
                name="check_run_interval_fits_state",
            ),
            models.CheckConstraint(
                condition=(Q(state=RunState.FAILED) & ~Q(reason=""))
                | (~Q(state=RunState.FAILED) & Q(reason="")),
                name="check_run_failed_says_why",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version} check {self.number}"


class CheckLine(WrittenOnce):
    """One step of a run: its result, and what to do about it."""

    run = models.ForeignKey(CheckRun, on_delete=models.PROTECT, related_name="lines")
    step = models.CharField(max_length=12, choices=Step, editable=False)
    state = models.CharField(max_length=8, choices=LineState, default=LineState.WAITING, editable=False)
    code = models.CharField(max_length=MAX_CODE, blank=True, editable=False)
    reason = models.CharField(max_length=MAX_REASON, blank=True, editable=False)
    advice = models.CharField("next step", max_length=MAX_REASON, blank=True, editable=False)
    facts = models.JSONField(default=dict, editable=False)
    started_at = models.DateTimeField(null=True, editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = "check line"
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["run", "step"], name="check_line_step_per_run"),
            models.CheckConstraint(condition=Q(step__in=Step.values), name="check_line_step_is_known"),
            models.CheckConstraint(
                condition=Q(state=LineState.WAITING, started_at__isnull=True, ended_at__isnull=True)
                | Q(state=LineState.RUNNING, started_at__isnull=False, ended_at__isnull=True)
                | Q(
                    state__in=[LineState.PASSED, LineState.FAILED],
                    started_at__isnull=False,
                    ended_at__isnull=False,
                    ended_at__gte=F("started_at"),
                )
                | Q(state=LineState.SKIPPED, ended_at__isnull=False),
                name="check_line_interval_fits_state",
            ),
            models.CheckConstraint(
                condition=~Q(state=LineState.FAILED) | ~Q(reason=""), name="check_line_failed_says_why"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.run} {self.step}"

    @property
    def seconds(self) -> float | None:
        """How long the step took."""
        if self.started_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds()
