"""What is being checked: a version, how it will be served, and the child in which its file answers."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType

from inference.checks.probe import KnownInputs
from inference.checks.proofs import known_inputs, known_merged_rows
from inference.checks.steps.findings import Facts
from inference.checks.trial import Trial
from inference.engine.backends import SessionOptions
from inference.engine.probed import ProbeFact
from inference.engine.samples import NOTHING_SAID
from inference.engine.warmup import MemoryUse
from inference.tensors.signature import Signature
from registry.catalogue import artifacts
from registry.catalogue.models import Version
from registry.catalogue.selectors import current_serving

OptionsFor = Callable[[int], SessionOptions]  # how a version, by its id, will be loaded where it serves


def _say_nothing(facts: Facts) -> None:
    """Where nobody watches."""


@dataclass
class Subject:
    """A context manager: the child of the trial lives until the end of the run."""

    version: Version
    options_for: OptionsFor
    signature: Signature | None = None  # from the probe on
    progress: Callable[[Facts], None] = _say_nothing
    _open: ExitStack = field(default_factory=ExitStack)
    _trial: Trial | None = None

    def __post_init__(self) -> None:
        self.sha256 = self.version.artifact.sha256
        self.serving = current_serving(self.version.pk)
        # the file is hashed at every load, so that all steps see the same bytes
        self.options = replace(self.options_for(self.version.pk), expected_sha256=self.sha256)
        # from the probe on
        self.fact: ProbeFact | None = None
        self.sample = NOTHING_SAID
        self.left_out: tuple[str, ...] = ()
        self.memory: MemoryUse | None = None  # from the warm-up on

    def __enter__(self) -> "Subject":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @cached_property
    def known(self) -> KnownInputs:
        """What its owner has given; read once for all steps."""
        return known_inputs(self.version)

    def path(self) -> Path:
        return artifacts.path_of(self.sha256)

    def merged_rows(self) -> int:
        """How many of its rows may share a run; one before the batch proof."""
        return known_merged_rows(self.serving, sha256=self.sha256, options=self.options)

    def trial(self) -> Trial:
        """The file, loaded in a child; raises TrialFailed. One that has died is replaced."""
        if self._trial is None or self._trial.is_over:
            self._trial = self._open.enter_context(Trial(self.path(), self.options, sample=self.sample))
        return self._trial
