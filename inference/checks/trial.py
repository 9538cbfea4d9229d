"""Runs a file on more than zeros, in a disposable child that answers until it is closed.

Examples reach code that the probe's zeros do not, so this is a child too: a file that hangs or crashes on its
hundredth row takes no worker with it.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from inference.checks.frames import Frame, FrameTooLarge, Message, read_frame, write_frame
from inference.checks.probe import CPU_ONLY, ONNX, memory_message, resident_of, start_child
from inference.checks.scratch import ScratchFolder
from inference.engine.backends import SessionOptions, Tensors, type_ndarray
from inference.engine.batch_proof import TIME_LIMIT_S, BatchProof
from inference.engine.samples import NOTHING_SAID, Sample
from inference.engine.warmup import MemoryUse, Profile
from inference.tensors.signature import Signature

T = TypeVar("T")

_LOOK_EVERY_S = 0.05
_DEATH_S = 5.0
_LOAD_S = 30.0
_LONGEST_S = 3600.0  # of processor time, for a child whose parent forgot it
_GRACE_S = 2.0  # for a run to end at its soft limit before the child is ended


@dataclass(frozen=True, slots=True)
class WarmedUp:
    """What the warm-up ladder found."""

    profile: Profile
    memory: MemoryUse


class TrialFailed(Exception):
    """The file did not do what was asked. `code` is one of the probe's.

    `engine_code` is what the engine calls a run that was refused; `signal` is what ended a child that died by itself.
    """

    def __init__(
        self, code: str, message: str, *, engine_code: str = "", signal: signal.Signals | None = None
    ) -> None:
        self.code, self.engine_code, self.signal = code, engine_code, signal
        super().__init__(message)


class Trial:
    """A loaded file, asked as often as one likes; a context manager.

    1. The child limits itself as the probe's does, and dies when the thread that opened it dies.
    2. Every question has a time limit. A child that passes it, or the memory limit, or writes what is not an
       answer, is killed; every later question fails as that one did.
    3. A run that the runtime refuses fails for itself: the next may succeed.
    """

    def __init__(
        self,
        path: Path,
        options: SessionOptions,
        *,
        sample: Sample = NOTHING_SAID,
        memory_limit_bytes: int = 4 << 30,
        backend: str = ONNX,
    ) -> None:
        self._path, self._options, self._backend = path, options, backend
        self._sample = sample
        self._memory_limit_bytes = memory_limit_bytes
        self._own_bytes = 0  # what the child held before the file
        self._ends_at = 0.0
        self._end: tuple[str, str] | None = None

    def __enter__(self) -> "Trial":
        self._folder = ScratchFolder("trial")
        self._socket, theirs = socket.socketpair()
        order = {
            "channel": theirs.fileno(),
            "path": str(self._path.resolve()),
            "options": asdict(self._options),
            "parent": os.getpid(),
            "is_cpu_only": set(self._options.providers) <= CPU_ONLY,
            "time_limit_s": _LONGEST_S,
            "memory_limit_bytes": self._memory_limit_bytes,
            "backend": self._backend,
        }
        try:
            with theirs:
                self._child = start_child("trial_child", order, self._folder.path, [theirs.fileno()])
        except OSError:
            self._socket.close()
            self._folder.remove()
            raise
        try:
            self._own_bytes = self._read(
                _LOAD_S, "at its start", lambda frame: int(frame[0]["resident_bytes"])
            )
            self.signature, self.provider = self._read(_LOAD_S, "while loading", _loaded)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child; nothing of it is left."""
        self._kill()
        self._socket.close()
        if self._child.stdout is not None:
            self._child.stdout.close()
        self._folder.remove()

    @property
    def is_over(self) -> bool:
        """The child has been ended, or has ended by itself: every further question would fail as the last one did."""
        return self._end is not None

    def warm_up(
        self, *, max_batch: int, limit_bytes: int, soft_limit_s: float, time_limit_s: float
    ) -> WarmedUp:
        """Run the ladder of batch sizes as far as a serving process may."""
        asked = {
            "do": "warm up",
            "max_batch": max_batch,
            "limit_bytes": limit_bytes,
            "soft_limit_s": soft_limit_s,
            "sample": self._sample.to_json(),
        }
        return self._ask(asked, {}, time_limit_s, "in its warm-up", _warmed_up)

    def prove_batches(
        self, *, max_rows: int, examples: Tensors | None = None, time_limit_s: float = TIME_LIMIT_S
    ) -> BatchProof:
        """Find out up to how many rows of different requests may share a run."""
        asked = {
            "do": "prove batches",
            "path": str(self._path.resolve()),
            "max_rows": max_rows,
            "sample": self._sample.to_json(),
            "time_limit_s": time_limit_s,
        }
        return self._ask(asked, examples or {}, time_limit_s + _GRACE_S, "in its batch proof", _proven)

    def run(
        self, inputs: Tensors, outputs: Sequence[str] | None = None, *, soft_limit_s: float
    ) -> dict[str, type_ndarray]:
        """Run prepared inputs once; give the named outputs, or all."""
        asked = {"do": "run", "outputs": outputs, "soft_limit_s": soft_limit_s}
        wanted = {
            spec.name: spec.dtype
            for spec in self.signature.outputs
            if outputs is None or spec.name in outputs
        }

        def take(frame: Frame) -> dict[str, type_ndarray]:
            if {name: tensor.dtype for name, tensor in frame[1].items()} != wanted:
                raise ValueError("These are not the outputs of this file.")
            return frame[1]

        return self._ask(asked, inputs, soft_limit_s + _GRACE_S, "while running", take)

    def _ask(
        self, asked: Message, tensors: Tensors, limit_s: float, doing: str, take: Callable[[Frame], T]
    ) -> T:
        if self._end is not None:
            raise TrialFailed(*self._end)
        try:
            frame = write_frame(asked, tensors)
        except FrameTooLarge as error:
            raise TrialFailed("too_large", str(error)) from None
        with suppress(OSError):  # it died before it read everything: what it left to read says more
            self._socket.settimeout(limit_s)
            self._socket.sendall(frame)
        return self._read(limit_s, doing, take)

    def _read(self, limit_s: float, doing: str, take: Callable[[Frame], T]) -> T:
        self._ends_at = time.monotonic() + limit_s
        self._socket.settimeout(_LOOK_EVERY_S)
        try:
            frame = read_frame(self._receive)
            if "code" not in frame[0]:
                return take(frame)
            code, text = str(frame[0]["code"]), str(frame[0]["text"])
            engine_code = str(frame[0].get("engine_code", ""))
        except TimeoutError:
            raise self._killed(
                "timed_out", f"The file took longer than {limit_s:g} s {doing} and was ended."
            ) from None
        except MemoryError:
            raise self._killed("memory", memory_message(self._memory_limit_bytes)) from None
        except (OSError, EOFError):
            raise self._died(doing) from None
        except (ValueError, LookupError, TypeError):
            raise self._killed(
                "crashed_signal", f"The file took over the process that ran it {doing}."
            ) from None
        text = memory_message(self._memory_limit_bytes) if code == "memory" else text
        raise TrialFailed(code, text, engine_code=engine_code)

    def _receive(self, count: int) -> bytes:
        got = bytearray()
        while len(got) < count:
            with suppress(TimeoutError):
                chunk = self._socket.recv(min(count - len(got), 1 << 20))
                if not chunk:
                    raise EOFError
                got += chunk
            if time.monotonic() > self._ends_at:
                raise TimeoutError
            if self._own_bytes and resident_of(self._child.pid) - self._own_bytes > self._memory_limit_bytes:
                raise MemoryError
        return bytes(got)

    def _died(self, doing: str) -> TrialFailed:
        self._kill()  # it is dead, or lives on without us; its status, if it has one, stays what it was
        status = self._child.returncode or 0
        ended_by = signal.Signals(-status) if status < 0 else None
        name = ended_by.name if ended_by is not None else f"exit status {status}"
        return self._killed("crashed_signal", f"The runtime crashed {doing} ({name}).", ended_by)

    def _killed(self, code: str, message: str, ended_by: signal.Signals | None = None) -> TrialFailed:
        self._end = (code, message)
        self._kill()
        return TrialFailed(code, message, signal=ended_by)

    def _kill(self) -> None:
        if self._child.returncode is not None:  # reaped: its number may be somebody else's by now
            return
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):  # stuck in a driver: the kernel ends it when it can
            self._child.wait(_DEATH_S)


def _loaded(frame: Frame) -> tuple[Signature, str]:
    return Signature.from_json(frame[0]["signature"]), str(frame[0]["provider"])


def _proven(frame: Frame) -> BatchProof:
    return BatchProof.from_json(frame[0]["proof"])


def _warmed_up(frame: Frame) -> WarmedUp:
    told = frame[0]
    profile = {int(rows): float(seconds) for rows, seconds in told["profile"]}
    return WarmedUp(profile, MemoryUse.from_json(told["memory"]))
