"""Runs unapproved versions in child processes, so that a file that crashes cannot take down a serving process."""

import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from inference.checks.trial import Trial, TrialFailed
from inference.engine.backends import SessionOptions
from inference.engine.crash_notes import NATIVE_CRASHES
from inference.engine.errors import (
    LoadFailed,
    OutputNotText,
    Overloaded,
    RunCrashed,
    RunFailed,
    RunTimedOut,
    SlotLost,
    StillLoading,
)
from inference.engine.onnx_backend import OnnxBackend
from inference.tensors.arrays import Array, Tensors
from inference.tensors.errors import RequestTooLarge

_LONGEST_RUN_S = 60.0  # for a run without its own limit
_LONGEST_PAUSE_S = 60.0
_FORGET_AFTER_S = 600.0  # without another death; the next pause is short again
_REFUSALS = {kind.code: kind for kind in (RunFailed, RunTimedOut, OutputNotText)}
# An abort may come from our own memory limit for children.
_BLAMED = NATIVE_CRASHES - {signal.SIGABRT}


@dataclass(frozen=True, slots=True)
class ChildDeath:
    """How a version's child ended. `crash`: the signal, if the version itself is to blame."""

    version_id: int
    crash: str = ""


OnDeath = Callable[[ChildDeath], None]


class SandboxBackend:
    """A backend whose sessions live in child processes. After each death the next start waits longer."""

    name = "sandbox"

    def __init__(self, on_death: OnDeath, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._on_death, self._clock = on_death, clock
        # A child dies with the thread that started it, and a load's own thread ends with the load.
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sandbox")
        self._pauses: dict[
            int, tuple[int, float]
        ] = {}  # by version: deaths in a row, and the end of the pause

    def runtime_version(self) -> str:
        return OnnxBackend().runtime_version()

    def load(self, path: Path, options: SessionOptions) -> "SandboxSession":
        _, until = self._pauses.get(options.label, (0, 0.0))
        if (left_s := until - self._clock()) > 0:
            raise StillLoading(
                f"The child process that ran this version has ended; it will be started again in {left_s:.0f} s."
            )
        trial = Trial(path, options)
        try:
            self._starter.submit(trial.__enter__).result()
        except TrialFailed as failed:
            self._note_death(options.label, failed)
            raise LoadFailed(str(failed)) from None
        except OSError as error:
            raise Overloaded(
                f"No child process could be started for this version ({error.strerror})."
            ) from None
        return SandboxSession(trial, lambda failed: self._note_death(options.label, failed))

    def _note_death(self, version_id: int, failed: TrialFailed) -> None:
        deaths, until = self._pauses.get(version_id, (0, 0.0))
        deaths = deaths + 1 if self._clock() < until + _FORGET_AFTER_S else 1
        self._pauses[version_id] = deaths, self._clock() + min(_LONGEST_PAUSE_S, 2.0 ** (deaths - 1))
        is_to_blame = failed.signal in _BLAMED
        self._on_death(ChildDeath(version_id, failed.signal.name if failed.signal and is_to_blame else ""))


class SandboxSession:
    """A file loaded in a child, which runs one request at a time."""

    def __init__(self, trial: Trial, on_end: Callable[[TrialFailed], None]) -> None:
        self._trial, self._on_end = trial, on_end
        self._lock = threading.Lock()
        self.signature, self.provider = trial.signature, trial.provider
        self.axis_names: Mapping[str, Sequence[str]] = {}
        self.left_out: Sequence[str] = ()
        self.is_steady = False  # a run waits for another process
        self.texts: Sequence[str] = ()

    def run(
        self, inputs: Tensors, outputs: Sequence[str] | None = None, *, soft_limit_s: float | None = None
    ) -> dict[str, Array]:
        with self._lock:
            if self._has_ended():  # by an earlier request; this one is not to blame
                raise SlotLost
            try:
                return self._trial.run(inputs, outputs, soft_limit_s=soft_limit_s or _LONGEST_RUN_S)
            except TrialFailed as failed:
                if self._has_ended():
                    self._on_end(failed)
                raise _error_of(failed) from None

    def _has_ended(self) -> bool:  # mypy would treat a property as constant
        return self._trial.is_over

    def shrink(self, inputs: Tensors) -> None:
        self.run(inputs)

    def footprint_bytes(self) -> int:
        """None of this process's memory."""
        return 0

    def close(self) -> None:
        self._trial.close()


def _error_of(failed: TrialFailed) -> Exception:
    if failed.signal is not None and failed.signal not in NATIVE_CRASHES:
        return SlotLost()  # killed from outside, for example by the kernel when memory is short
    if failed.signal is not None:
        return RunCrashed(f"The version ended the process that ran it ({failed.signal.name}).")
    if failed.code == "timed_out":
        return RunTimedOut(str(failed))
    if failed.code == "too_large":
        return RequestTooLarge(str(failed))
    return _REFUSALS.get(failed.engine_code, RunFailed)(str(failed))
