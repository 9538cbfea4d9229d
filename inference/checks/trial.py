"""Runs a file repeatedly in a disposable child.

Examples reach code that the probe's zeros do not. A file that hangs or crashes on its hundredth row must not take the
worker down.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from inference.checks.frames import Frame, FrameTooLarge, Message, read_frame, write_frame
from inference.checks.probe import ONNX, child_config, memory_message
from inference.confinement.memory import process_memory
from inference.confinement.parent import start_child
from inference.engine.backends import SessionOptions
from inference.engine.batch_proof import TIME_LIMIT_S, BatchProof
from inference.engine.warmup import MemoryUse, Profile
from inference.scratch import ScratchFolder
from inference.tensors.arrays import Array, Tensors
from inference.tensors.samples import EMPTY_SAMPLE, Sample
from inference.tensors.signature import Signature

T = TypeVar("T")

_LOOK_EVERY_S = 0.05
_DEATH_S = 5.0
_LOAD_S = 30.0
_CPU_LIMIT_S = 3600.0  # for a child that outlives its parent
_GRACE_S = 2.0  # for a run to end at its soft limit before the child is killed


class TrialFailed(Exception):
    """The file failed. `code` is one of the probe's codes.

    `engine_code` is the code of the engine's error if a run failed; `signal` is the signal that killed the child.
    """

    def __init__(
        self, code: str, message: str, *, engine_code: str = "", signal: signal.Signals | None = None
    ) -> None:
        self.code, self.engine_code, self.signal = code, engine_code, signal
        super().__init__(message)


class Trial:
    """A file loaded in a child that runs any number of commands; a context manager.

    1. The child limits its own resources like the probe's, and dies when the thread that opened it dies.
    2. Every command has a time limit. A child that exceeds it or the memory limit, or sends an invalid reply, is
       killed, and every later command fails with the same error.
    3. If the runtime refuses a run, only that run fails: the next one may succeed.
    """

    def __init__(
        self,
        path: Path,
        options: SessionOptions,
        *,
        sample: Sample = EMPTY_SAMPLE,
        memory_limit_bytes: int = 4 << 30,
        backend: str = ONNX,
    ) -> None:
        self._path, self._options, self._backend = path, options, backend
        self._sample = sample
        self._memory_limit_bytes = memory_limit_bytes
        self._own_bytes = 0  # the child's memory before it loaded the file
        self._ends_at = 0.0
        self._end: tuple[str, str] | None = None

    def __enter__(self) -> "Trial":
        self._folder = ScratchFolder("trial")
        self._socket, theirs = socket.socketpair()
        config = child_config(
            self._path,
            self._options,
            time_limit_s=_CPU_LIMIT_S,
            memory_limit_bytes=self._memory_limit_bytes,
            backend=self._backend,
        )
        channel = theirs.fileno()
        try:
            with theirs:
                self._child = start_child(
                    "checks.trial_child", {**config, "channel": channel}, self._folder.path, [channel]
                )
        except OSError:
            self._socket.close()
            self._folder.remove()
            raise
        try:
            self._own_bytes = self._read(
                _LOAD_S, "while starting", lambda frame: int(frame[0]["resident_bytes"])
            )
            self.signature, self.provider = self._read(_LOAD_S, "while loading", _parse_loaded)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill the child and remove its folder."""
        self._kill()
        self._socket.close()
        if self._child.stdout is not None:
            self._child.stdout.close()
        self._folder.remove()

    @property
    def is_over(self) -> bool:
        """The child has ended or was killed: every further command would fail with the same error."""
        return self._end is not None

    def warm_up(
        self,
        *,
        max_batch: int,
        limit_bytes: int,
        soft_limit_s: float,
        time_limit_s: float,
        sample: Sample | None = None,
    ) -> tuple[Profile, MemoryUse]:
        """Run the batch sizes that a serving process may use, of the trial's sample or of this one."""
        command = {
            "do": "warm up",
            "max_batch": max_batch,
            "limit_bytes": limit_bytes,
            "soft_limit_s": soft_limit_s,
            "sample": (sample or self._sample).to_json(),
        }
        return self._send(command, {}, time_limit_s, "during its warm-up", _parse_warm_up)

    def prove_batches(
        self, *, max_rows: int, examples: Tensors | None = None, time_limit_s: float = TIME_LIMIT_S
    ) -> BatchProof:
        """Find out how many rows of different requests may share a run."""
        command = {
            "do": "prove batches",
            "path": str(self._path.resolve()),
            "max_rows": max_rows,
            "sample": self._sample.to_json(),
            "time_limit_s": time_limit_s,
        }
        return self._send(
            command, examples or {}, time_limit_s + _GRACE_S, "during its batch proof", _parse_proof
        )

    def run(
        self, inputs: Tensors, outputs: Sequence[str] | None = None, *, soft_limit_s: float
    ) -> dict[str, Array]:
        """Run prepared inputs once; return the named outputs, or all."""
        command = {"do": "run", "outputs": outputs, "soft_limit_s": soft_limit_s}
        expected = {
            spec.name: spec.dtype
            for spec in self.signature.outputs
            if outputs is None or spec.name in outputs
        }

        def parse(frame: Frame) -> dict[str, Array]:
            if {name: tensor.dtype for name, tensor in frame[1].items()} != expected:
                raise ValueError("These are not the outputs of this file.")
            return frame[1]

        return self._send(command, inputs, soft_limit_s + _GRACE_S, "while running", parse)

    def _send(
        self, command: Message, tensors: Tensors, limit_s: float, doing: str, parse: Callable[[Frame], T]
    ) -> T:
        if self._end is not None:
            raise TrialFailed(*self._end)
        try:
            frame = write_frame(command, tensors)
        except FrameTooLarge as error:
            raise TrialFailed("too_large", str(error)) from None
        with suppress(OSError):  # the child died while reading; its last message is more informative
            self._socket.settimeout(limit_s)
            self._socket.sendall(frame)
        return self._read(limit_s, doing, parse)

    def _read(self, limit_s: float, doing: str, parse: Callable[[Frame], T]) -> T:
        self._ends_at = time.monotonic() + limit_s
        self._socket.settimeout(_LOOK_EVERY_S)
        try:
            frame = read_frame(self._receive)
            if "code" not in frame[0]:
                return parse(frame)
            code, text = str(frame[0]["code"]), str(frame[0]["text"])
            engine_code = str(frame[0].get("engine_code", ""))
        except TimeoutError:
            raise self._kill_and_fail(
                "timed_out", f"The file took longer than {limit_s:g} s {doing} and was stopped."
            ) from None
        except MemoryError:
            raise self._kill_and_fail("memory", memory_message(self._memory_limit_bytes)) from None
        except (OSError, EOFError):
            raise self._died(doing) from None
        except (ValueError, LookupError, TypeError):
            raise self._kill_and_fail(
                "crashed_signal", f"The file took over the process that ran it {doing}."
            ) from None
        text = memory_message(self._memory_limit_bytes) if code == "memory" else text
        raise TrialFailed(code, text, engine_code=engine_code)

    def _receive(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            with suppress(TimeoutError):
                chunk = self._socket.recv(min(count - len(data), 1 << 20))
                if not chunk:
                    raise EOFError
                data += chunk
            if time.monotonic() > self._ends_at:
                raise TimeoutError
            if (
                self._own_bytes
                and process_memory(self._child.pid)[1] - self._own_bytes > self._memory_limit_bytes
            ):
                raise MemoryError
        return bytes(data)

    def _died(self, doing: str) -> TrialFailed:
        self._kill()  # it is dead, or running but cut off from us; an exit status is kept
        status = self._child.returncode or 0
        killed_by = signal.Signals(-status) if status < 0 else None
        name = killed_by.name if killed_by is not None else f"exit status {status}"
        return self._kill_and_fail("crashed_signal", f"The runtime crashed {doing} ({name}).", killed_by)

    def _kill_and_fail(self, code: str, message: str, killed_by: signal.Signals | None = None) -> TrialFailed:
        self._end = (code, message)
        self._kill()
        return TrialFailed(code, message, signal=killed_by)

    def _kill(self) -> None:
        if self._child.returncode is not None:  # reaped: its process id may be reused by now
            return
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):  # stuck in a driver: the kernel kills it when it can
            self._child.wait(_DEATH_S)


def _parse_loaded(frame: Frame) -> tuple[Signature, str]:
    return Signature.from_json(frame[0]["signature"]), str(frame[0]["provider"])


def _parse_proof(frame: Frame) -> BatchProof:
    return BatchProof.from_json(frame[0]["proof"])


def _parse_warm_up(frame: Frame) -> tuple[Profile, MemoryUse]:
    message = frame[0]
    profile = {int(rows): float(seconds) for rows, seconds in message["profile"]}
    return profile, MemoryUse.from_json(message["memory"])
