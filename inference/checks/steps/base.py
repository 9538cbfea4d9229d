"""What every step of the checklist gets, and how it ends."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from inference.checks.probe import KnownInputs
from inference.checks.proofs import known_inputs, known_merged_rows
from inference.checks.trial import Trial
from inference.checks.version_tasks import pipeline_of
from inference.engine.backends import ProbeFact, SessionOptions
from inference.engine.warmup import MemoryUse
from inference.pipelines.pipeline import Pipeline
from inference.tensors.samples import EMPTY_SAMPLE
from inference.tensors.signature import Signature
from registry.catalogue import artifacts
from registry.catalogue.models import Version
from registry.catalogue.selectors import current_serving
from registry.catalogue.task_kinds import TaskFacts

Facts = Mapping[str, Any]
OptionsFor = Callable[[int], SessionOptions]  # how a version, given its id, will be loaded for serving


@dataclass(frozen=True, slots=True)
class StepPassed:
    """A step that passed. A code means that something about it is worth a look."""

    facts: Facts = field(default_factory=dict)
    code: str = ""
    reason: str = ""
    advice: str = ""


class _StepStopped(Exception):
    def __init__(self, code: str, reason: str, advice: str = "", facts: Facts | None = None) -> None:
        self.code, self.reason, self.advice, self.facts = code, reason, advice, facts or {}
        super().__init__(reason)


class StepFailed(_StepStopped):
    """Something is wrong with the version. `reason` explains it in a full sentence, and `advice` says what to do."""


class StepSkipped(_StepStopped):
    """There is nothing to check."""


def _ignore_progress(facts: Facts) -> None:
    pass


@dataclass
class CheckContext:
    """The version being checked, how it will be served, and a child that runs its file until the end of the run."""

    version: Version
    options_for: OptionsFor
    signature: Signature | None = None  # known after the probe
    progress: Callable[[Facts], None] = _ignore_progress
    _open: ExitStack = field(default_factory=ExitStack)
    _trial: Trial | None = None

    def __post_init__(self) -> None:
        self.serving = current_serving(self.version.pk)
        self.use(self.version)
        # Known after the probe:
        self.fact: ProbeFact | None = None
        self.sample = EMPTY_SAMPLE
        self.left_out: tuple[str, ...] = ()
        self.memory: MemoryUse | None = None  # known after the warm-up
        self.may_pad = False  # until the batch proof has shown that padding is harmless

    def use(self, version: Version) -> None:
        """Check this version's artifact from now on: it may just have been converted."""
        self.version, self.sha256 = version, version.artifact.sha256
        # Each load hashes the file, so all steps see the same bytes.
        self.options = replace(self.options_for(version.pk), expected_sha256=self.sha256)

    def __enter__(self) -> "CheckContext":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @cached_property
    def known(self) -> KnownInputs:
        """What the owner provided; read once for all steps."""
        return known_inputs(self.version)

    @cached_property
    def pipeline(self) -> Pipeline:
        """The version's task. Only for what a child has read before: the step `signature` has one do that."""
        return pipeline_of(self.version, self.signature)

    @property
    def task_facts(self) -> TaskFacts:
        return TaskFacts(self.pipeline.digest, self.may_pad)

    def path(self) -> Path:
        return artifacts.path_of(self.sha256)

    def merged_rows(self) -> int:
        """How many rows may share a run; 1 before the batch proof."""
        return known_merged_rows(self.serving, sha256=self.sha256, options=self.options)

    def trial(self) -> Trial:
        """The file, loaded in a child; raises TrialFailed. A child that has died is replaced."""
        if self._trial is None or self._trial.is_over:
            self._trial = self._open.enter_context(Trial(self.path(), self.options, sample=self.sample))
        return self._trial
