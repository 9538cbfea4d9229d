"""The seam between the engine and a runtime: what a loaded session can do, and what a loader is asked for."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from inference.tensors.signature import Signature

type_ndarray = NDArray[np.generic]
Tensors = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How a version is loaded. `digest` goes into the probe's fact: other options are another load.

    `expected_sha256` is checked against the very bytes that are loaded, and `label` is what crash notes call the
    version: neither is a way of loading the file, so both stay out of the digest.
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
        """Name this way of loading by a hash that is the same in every process."""
        settings = {**asdict(self), "extra": dict(sorted(self.extra.items()))}
        del settings["expected_sha256"], settings["label"]
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


class Session(Protocol):
    """A model in memory. Several threads may call `run` at once; call `close` only when none is inside."""

    signature: Signature
    provider: str  # what really runs it, e.g. CPUExecutionProvider
    # Runs on this machine's processor, and its graph has no loop or branch: a run takes about what others of its size took.
    is_steady: bool

    def run(
        self, inputs: Tensors, outputs: Sequence[str] | None = None, *, soft_limit_s: float | None = None
    ) -> dict[str, type_ndarray]:
        """Run one batch; raise RunFailed, or RunTimedOut when the soft limit ends it."""

    def footprint_bytes(self) -> int:
        """What the session holds on its device, measured where the runtime lets us."""

    def close(self) -> None: ...


@runtime_checkable
class RemoteSession(Protocol):
    """A model that others run: its runs are awaited on the loop, any number at once, and no thread waits for them."""

    signature: Signature
    provider: str

    async def ask(
        self, inputs: Tensors, outputs: Sequence[str] | None, *, ends_at: float
    ) -> dict[str, type_ndarray]:
        """Have one batch run, until a time of the monotonic clock; raise an EngineError."""

    def footprint_bytes(self) -> int: ...


class LoadedSession(Session, Protocol):
    """A file in this process's memory."""

    # Names of the inputs' axes: free axes with the same name have the same size; "" is no name.
    axis_names: Mapping[str, Sequence[str]]
    left_out: Sequence[str]  # outputs of the file that cannot be carried, in words
    texts: Sequence[str]  # some that the file knows, where it takes texts: many refuse all others

    def shrink(self, inputs: Tensors) -> None:
        """Run once, and give back what other runs have left behind in the runtime's memory."""


class Backend(Protocol):
    """A runtime that can load files."""

    name: str

    def runtime_version(self) -> str: ...

    def load(self, path: Path, options: SessionOptions) -> LoadedSession:
        """Load a file; raise LoadFailed with a sentence for people."""
