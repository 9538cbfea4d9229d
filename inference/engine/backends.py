"""The seam between the engine and a runtime: what a loaded session can do, and what a loader needs to know."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from inference.engine.errors import NotProbed
from inference.tensors.arrays import Array, Tensors
from inference.tensors.signature import Signature


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How a version is loaded. Its `digest` is part of the probe's fact, so different options need a new probe.

    `expected_sha256` is checked against the bytes that are loaded, and `label` is the version's id in crash notes.
    Neither changes how the file is loaded, so both stay out of the digest.
    """

    providers: tuple[str, ...] = ("CPUExecutionProvider",)
    device_id: int = 0
    intra_op_threads: int = 1
    graph_level: str = "all"  # disabled | basic | extended | all
    arena_limit_bytes: int | None = None
    fp16: bool = False
    extra: Mapping[str, str] = field(default_factory=dict)
    expected_sha256: str | None = None
    label: int = 0

    @property
    def digest(self) -> str:
        """A hash of these options that is the same in every process."""
        settings = {**asdict(self), "extra": dict(sorted(self.extra.items()))}
        del settings["expected_sha256"], settings["label"]
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


class Session(Protocol):
    """A model in memory. Several threads may call `run` at once; call `close` only when no thread is running it."""

    signature: Signature
    provider: str  # the one that actually runs it, e.g. CPUExecutionProvider
    # Runs on the CPU and has no loops or branches: runs of equal size take about equally long.
    is_steady: bool

    def run(
        self, inputs: Tensors, outputs: Sequence[str] | None = None, *, soft_limit_s: float | None = None
    ) -> dict[str, Array]:
        """Run one batch; raise RunFailed, or RunTimedOut if the soft limit ends it."""

    def footprint_bytes(self) -> int:
        """Memory that the session takes on its device, measured if the runtime allows it."""

    def close(self) -> None: ...


@runtime_checkable
class AsyncSession(Protocol):
    """A model in another process. Its runs are awaited on the loop, any number at once; no thread waits for them."""

    signature: Signature
    provider: str

    async def ask(
        self, inputs: Tensors, outputs: Sequence[str] | None, *, ends_at: float
    ) -> dict[str, Array]:
        """Run one batch there; or raise an InferenceError. `ends_at` is a time on the monotonic clock."""

    def footprint_bytes(self) -> int: ...


class LoadedSession(Session, Protocol):
    """A file in this process's memory."""

    # Axis names by input; "" means no name. Free axes with the same name have the same size.
    axis_names: Mapping[str, Sequence[str]]
    left_out: Sequence[str]  # descriptions of the file's outputs that cannot be sent as tensors
    texts: Sequence[
        str
    ]  # some texts that the file knows, if it has text inputs: many files reject all others

    def shrink(self, inputs: Tensors) -> None:
        """Run once, and free what earlier runs left in the runtime's memory arena."""


class Backend(Protocol):
    """A runtime that loads files."""

    name: str

    def runtime_version(self) -> str: ...

    def load(self, path: Path, options: SessionOptions) -> LoadedSession:
        """Load a file; raise LoadFailed with a human-readable message."""


@dataclass(frozen=True, slots=True)
class ProbeFact:
    """Proof that a disposable child process loaded and ran these bytes, with this runtime, provider and options."""

    sha256: str
    runtime_version: str
    provider: str  # the one that actually ran it
    options_digest: str


def check_probed(fact: ProbeFact, options: SessionOptions, runtime_version: str) -> None:
    """Raise NotProbed before loading: only bytes that a child process survived may reach the native parser."""
    _compare("file", options.expected_sha256 or fact.sha256, fact.sha256)
    _compare("runtime", runtime_version, fact.runtime_version)
    _compare("options", options.digest, fact.options_digest)


def check_provider(fact: ProbeFact, provider: str) -> None:
    """Raise NotProbed after loading, when the provider is known."""
    _compare("provider", provider, fact.provider)


def _compare(what: str, actual: str, probed: str) -> None:
    if actual != probed:
        raise NotProbed(
            f"The version passed the probe with a different {what} ({probed[:40]}, here {actual[:40]});"
            " run its checks again in this pool."
        )
