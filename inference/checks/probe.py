"""Loads a file in a disposable child first, because a bad model file can crash the process that loads it."""

import hashlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from inference.checks.scratch import ScratchFolder
from inference.engine.backends import ProbeFact, SessionOptions
from inference.engine.crash_notes import NATIVE_CRASHES
from inference.engine.memory import process_memory
from inference.engine.probe_inputs import EXTREMES_TIME_LIMIT_S
from inference.tensors.samples import EMPTY_SAMPLE, Sample
from inference.tensors.signature import Signature

ONNX = "inference.engine.onnx_backend:OnnxBackend"
_CPU_ONLY = {"CPUExecutionProvider"}
_ROOT = Path(__file__).resolve().parents[2]
_START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from inference.checks.{} import main; main()"
# Where the runtime and CUDA find libraries, devices and locales. The child gets no other variable, and no secrets.
_PASSED_ON = (
    "PATH", "LD_LIBRARY_PATH", "LOCPATH",
    "CUDA_VISIBLE_DEVICES", "CUDA_HOME", "CUDA_PATH", "NVIDIA_VISIBLE_DEVICES",
)  # fmt: skip
_MAX_REPORT_BYTES = 4 << 20
_LOOK_EVERY_S = 0.05
_LINGER_S = 0.002
_DEATH_S = 5.0
_EXTREMES_S = EXTREMES_TIME_LIMIT_S + 2.0  # once the file is known to run
# After these causes the child's last report cannot be trusted: the file may control the child, or its output never ends.
_UNTRUSTED = {"crashed_signal", "load_failed"}
# An abort may be caused by our own memory limit.
_CRASHES = {int(number) for number in NATIVE_CRASHES - {signal.SIGABRT}}
_HAS_ENDED = os.WEXITED | os.WNOHANG | os.WNOWAIT
_MIB = 1 << 20
_REPORTED = ("provider", "runtime_version", "load_s", "run_s", "peak_rss_bytes", "source", "tries")
_MAX_EXAMPLES, _MAX_EXAMPLE_BYTES = 3, 32 << 20


@dataclass(frozen=True, slots=True)
class KnownInputs:
    """What is known about a file's inputs before it runs: examples as people wrote them, and shapes by name."""

    examples: Sequence[Mapping[str, Any]] = ()
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write it for the child, without examples that are too large."""
        path.write_bytes(orjson.dumps({"examples": self._small_examples(), "shapes": dict(self.shapes)}))

    def _small_examples(self) -> list[Mapping[str, Any]]:
        small, left = [], _MAX_EXAMPLE_BYTES
        for example in self.examples[:_MAX_EXAMPLES]:
            left -= len(orjson.dumps(example))
            if left < 0:
                break
            small.append(example)
        return small


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The child's result.

    `code` is passed, load_failed, cannot_carry, locale_missing, run_failed, memory, timed_out, crashed_signal or
    not_started.
    """

    code: str
    message: str
    provider_asked: str
    signature: Signature | None = None
    fact: ProbeFact | None = None
    sample: Sample = EMPTY_SAMPLE  # on which it ran
    source: str = ""  # where the sample came from
    tries: int = 0
    left_out: tuple[str, ...] = ()  # outputs that cannot be sent
    provider: str = ""
    runtime_version: str = ""
    load_s: float = 0.0
    run_s: float = 0.0
    peak_rss_bytes: int = 0
    network_confined: bool = False  # the kernel let the child leave the network


def probe(
    path: Path,
    options: SessionOptions,
    known: KnownInputs | None = None,
    *,
    time_limit_s: float = 30.0,
    memory_limit_bytes: int = 4 << 30,
    backend: str = ONNX,
) -> ProbeResult:
    """Load `path` in a child process as it would be served, and run it on known or generated inputs.

    1. The file is hashed, and the child loads only bytes with that hash.
    2. The child limits itself, leaves the network if the kernel allows it, gets none of our environment and dies when
       the calling thread dies.
    3. A file that runs must also survive extreme integers; in that test, only a crash counts against it.
    4. Whatever the file does, this returns shortly after `time_limit_s` at the latest, and leaves no child behind.

    The memory limit is on top of what the interpreter and the runtime need. It limits address space on the CPU, and
    resident memory with CUDA, whose own mappings would exceed any sensible limit.
    """
    result = partial(ProbeResult, provider_asked=options.providers[0])
    try:
        sha256 = options.expected_sha256 or _sha256(path)
    except OSError as error:
        return result("load_failed", f"The file could not be read ({error.strerror}); upload it again.")
    config = child_config(
        path,
        replace(options, expected_sha256=sha256),
        time_limit_s=time_limit_s,
        memory_limit_bytes=memory_limit_bytes,
        backend=backend,
    )
    try:
        watch, status = _follow({**config, "known": "known.json"}, known or KnownInputs())
    except OSError as error:
        return result("not_started", f"The probe could not be started ({error.strerror}).")
    result, last = partial(result, network_confined=watch.network_confined), watch.done
    if last is None or watch.cause in _UNTRUSTED:
        return result(*_explain(watch, status))
    if not watch.cause and -status in _CRASHES:
        message = (
            f"The runtime crashed ({signal.Signals(-status).name}) with {watch.last.get('values', 'its last input')},"
            " which any caller may send; clamp these inputs in the model and export it again."
        )
        return result("crashed_signal", message)
    if last["code"] != "passed":
        message = memory_message(memory_limit_bytes) if last["code"] == "memory" else last["message"]
        return result(last["code"], message, peak_rss_bytes=last["peak_rss_bytes"])
    return result(
        last["code"],
        last["message"],
        signature=Signature.from_json(last["signature"]),
        fact=ProbeFact(sha256, last["runtime_version"], last["provider"], options.digest),
        sample=Sample.from_json(last["sample"]),
        left_out=tuple(map(str, last["left_out"])),
        **{name: last[name] for name in _REPORTED},
    )


def _follow(config: dict[str, Any], known: KnownInputs) -> "tuple[ChildWatch, int]":
    with ScratchFolder("probe") as folder:
        known.write(folder / config["known"])
        return follow_child("probe_child", config, folder)


def follow_child(program: str, config: Mapping[str, Any], folder: Path) -> "tuple[ChildWatch, int]":
    """Start a child that reports lines of JSON, watch it until it ends or hits a limit, and kill whatever is left.

    Returns what was seen, and the child's exit status.
    """
    child = start_child(program, config, folder)
    watch = ChildWatch(child, config["time_limit_s"], config["memory_limit_bytes"])
    try:
        watch.follow()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        watch.pipe.close()
        with suppress(subprocess.TimeoutExpired):  # stuck in a driver: the kernel ends it when it can
            child.wait(_DEATH_S)
    return watch, child.returncode or 0


class ChildWatch:
    """Reads the child's lines until it ends or passes a limit, which is then the `cause`."""

    def __init__(
        self, child: "subprocess.Popen[bytes]", time_limit_s: float, memory_limit_bytes: int
    ) -> None:
        assert child.stdout is not None  # noqa: S101  for the type checker
        self._child, self.pipe = child, child.stdout
        self.time_limit_s, self.memory_limit_bytes = time_limit_s, memory_limit_bytes
        self._ends_at = time.monotonic() + time_limit_s
        self._own_bytes = 0  # the child's memory before it loaded the file
        self._unread = b""
        self._size = 0
        self.last: dict[str, Any] = {}
        self.done: dict[str, Any] | None = None
        self.cause = ""
        self.network_confined = False

    def follow(self) -> None:
        pipe = self.pipe.fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while not self.cause:
                if selector.select(_LOOK_EVERY_S):
                    chunk = os.read(pipe, 1 << 16)
                    if not chunk:
                        break
                    self._read_lines(chunk)
                self._check_limits()
        # A child that closes its pipe but does not exit is as stuck as a silent one. Do not reap it here: its process id
        # must not be reused before its group has been killed.
        while not self.cause and os.waitid(os.P_PID, self._child.pid, _HAS_ENDED) is None:
            time.sleep(_LINGER_S)
            self._check_limits()

    def _read_lines(self, chunk: bytes) -> None:
        self._size += len(chunk)
        *lines, self._unread = (self._unread + chunk).split(b"\n")
        for line in lines:
            try:
                self.last = json.loads(line)
                self._own_bytes = self._own_bytes or self.last["resident_bytes"]
                self.network_confined |= self.last.get("network_confined", False) is True
            except (ValueError, LookupError, TypeError):  # only a file that controls the child writes this
                self.cause = "crashed_signal"
                return
            if self.done is None and self.last.get("phase") == "done":
                self.done = self.last
                self._ends_at = min(self._ends_at, time.monotonic() + _EXTREMES_S)

    def _check_limits(self) -> None:
        if self._size > _MAX_REPORT_BYTES:
            self.cause = "load_failed"
        elif time.monotonic() > self._ends_at:
            self.cause = "timed_out"
        elif (
            self._own_bytes and process_memory(self._child.pid)[1] - self._own_bytes > self.memory_limit_bytes
        ):
            self.cause = "memory"


def child_config(
    path: Path, options: SessionOptions, *, time_limit_s: float, memory_limit_bytes: int, backend: str
) -> dict[str, Any]:
    """What a child must know to limit itself and load the file."""
    return {
        "path": str(path.resolve()),
        "options": asdict(options),
        "parent": os.getpid(),
        "is_cpu_only": set(options.providers) <= _CPU_ONLY,
        "time_limit_s": time_limit_s,
        "memory_limit_bytes": memory_limit_bytes,
        "backend": backend,
    }


def start_child(
    program: str, config: Mapping[str, Any], folder: Path, pass_fds: Sequence[int] = ()
) -> "subprocess.Popen[bytes]":
    """Start one of our programs in a child process. It inherits nothing but the given descriptors."""
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    environment |= {
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "OPENBLAS_NUM_THREADS": "1",
        "CUDA_CACHE_DISABLE": "1",
    }
    return subprocess.Popen(  # noqa: S603  our own interpreter and program
        [sys.executable, "-I", "-c", _START.format(program), str(_ROOT), json.dumps(config)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env=environment,
        pass_fds=pass_fds,
        start_new_session=True,  # its own group, so that killing it also kills what it started
    )


def _explain(watch: ChildWatch, status: int) -> tuple[str, str]:
    doing = {"loading": "while loading", "running": "during its first run"}.get(
        watch.last.get("phase", ""), "at startup"
    )
    cause = watch.cause or ("timed_out" if -status == signal.SIGXCPU else "crashed_signal")
    if cause == "timed_out":
        took = f"The file took longer than {watch.time_limit_s:g} s {doing}"
        return cause, f"{took} and was stopped; upload a model that finishes in time."
    if cause == "memory":
        return cause, memory_message(watch.memory_limit_bytes)
    if cause == "load_failed":
        return cause, "The file declares more inputs and outputs than can be served; export it again."
    name = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    return (
        cause,
        f"The runtime crashed {doing} ({name}); export the file again, because this one must not be loaded.",
    )


def memory_message(limit_bytes: int) -> str:
    return f"The file needs more than {limit_bytes // _MIB} MiB of memory; use a smaller model or raise the probe's limit."


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
