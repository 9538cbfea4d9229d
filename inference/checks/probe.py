"""Loads a file in a disposable child first: a model file is native input, and a bad one can take a process down."""

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
from pathlib import Path
from typing import Any

import orjson

from inference.checks.scratch import ScratchFolder
from inference.engine.backends import SessionOptions
from inference.engine.crash_notes import NATIVE_CRASHES
from inference.engine.extremes import TIME_LIMIT_S
from inference.engine.probed import ProbeFact
from inference.engine.samples import NOTHING_SAID, Sample
from inference.tensors.signature import Signature

ONNX = "inference.engine.onnx_backend:OnnxBackend"
CPU_ONLY = {"CPUExecutionProvider"}
_ROOT = Path(__file__).resolve().parents[2]
_START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from inference.checks.{} import main; main()"
# where the runtime and CUDA find their libraries, devices and locales; everything else (secrets!) stays here
_PASSED_ON = (
    "PATH",
    "LD_LIBRARY_PATH",
    "LOCPATH",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_HOME",
    "CUDA_PATH",
    "NVIDIA_VISIBLE_DEVICES",
)
_MAX_REPORT_BYTES = 4 << 20
_LOOK_EVERY_S = 0.05
_LINGER_S = 0.002
_DEATH_S = 5.0
_EXTREMES_S = TIME_LIMIT_S + 2.0  # after it is known that the file runs
# What a child has said last counts for nothing where it is no longer ours, or never ends.
_TAKEN_OVER = {"crashed_signal", "load_failed"}
# An abort may be our own limit of memory.
_CRASHES = {int(number) for number in NATIVE_CRASHES - {signal.SIGABRT}}
_HAS_ENDED = os.WEXITED | os.WNOHANG | os.WNOWAIT
_MIB = 1 << 20
_REPORTED = (
    "code",
    "message",
    "provider",
    "runtime_version",
    "load_s",
    "run_s",
    "peak_rss_bytes",
    "source",
    "tries",
)
_MOST_EXAMPLES, _MOST_EXAMPLE_BYTES = 3, 32 << 20


@dataclass(frozen=True, slots=True)
class KnownInputs:
    """What is known of a file's inputs before it is run: examples as people wrote them, and shapes by name."""

    examples: Sequence[Mapping[str, Any]] = ()
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """For the child to read; examples beyond a size are left out."""
        path.write_bytes(orjson.dumps({"examples": self._small_examples(), "shapes": dict(self.shapes)}))

    def _small_examples(self) -> list[Mapping[str, Any]]:
        small, left = [], _MOST_EXAMPLE_BYTES
        for example in self.examples[:_MOST_EXAMPLES]:
            left -= len(orjson.dumps(example))
            if left < 0:
                break
            small.append(example)
        return small


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What the child found.

    `code` is passed, load_failed, cannot_carry, locale_missing, run_failed, memory, timed_out, crashed_signal or
    not_started.
    """

    code: str
    message: str
    provider_asked: str
    signature: Signature | None = None
    fact: ProbeFact | None = None
    sample: Sample = NOTHING_SAID  # on which it ran
    source: str = ""  # what the sample was made of
    tries: int = 0
    left_out: tuple[str, ...] = ()  # outputs that cannot be carried
    provider: str = ""
    runtime_version: str = ""
    load_s: float = 0.0
    run_s: float = 0.0
    peak_rss_bytes: int = 0
    network_confined: bool = False  # the kernel let the child leave the network

    @property
    def has_passed(self) -> bool:
        return self.fact is not None


def probe(
    path: Path,
    options: SessionOptions,
    known: KnownInputs | None = None,
    *,
    time_limit_s: float = 30.0,
    memory_limit_bytes: int = 4 << 30,
    backend: str = ONNX,
) -> ProbeResult:
    """Load `path` as it would be served and run it on what is known of its inputs or made up for it, in a child.

    1. The file is hashed, and the child loads only bytes of that hash.
    2. The child limits itself, leaves the network where the kernel lets it, shares nothing of our environment and
       dies when the calling thread dies.
    3. A file that runs is run on extreme whole numbers as well; of these only a crash speaks against it.
    4. Whatever it does, this returns within `time_limit_s` and a moment, and nothing of the child is left.

    Memory counts beyond what interpreter and runtime take themselves: as address space on the CPU, as
    resident memory with CUDA, whose own mappings would exceed any sensible address limit.
    """
    asked = options.providers[0]
    try:
        sha256 = options.expected_sha256 or _sha256(path)
    except OSError as error:
        message = f"The file could not be read ({error.strerror}); upload it again."
        return ProbeResult("load_failed", message, asked)
    order = {
        "path": str(path.resolve()),
        "options": asdict(replace(options, expected_sha256=sha256)),
        "parent": os.getpid(),
        "is_cpu_only": set(options.providers) <= CPU_ONLY,
        "time_limit_s": time_limit_s,
        "memory_limit_bytes": memory_limit_bytes,
        "known": "known.json",
        "backend": backend,
    }
    try:
        watch, status = _followed(order, known or KnownInputs(), time_limit_s, memory_limit_bytes)
    except OSError as error:
        return ProbeResult("not_started", f"The probe could not be started ({error.strerror}).", asked)
    last, confined = watch.done, watch.network_confined
    if last is None or watch.cause in _TAKEN_OVER:
        code, message = _explain(watch, status, time_limit_s, memory_limit_bytes)
        return ProbeResult(code, message, asked, network_confined=confined)
    if not watch.cause and -status in _CRASHES:
        message = (
            f"The runtime crashed ({signal.Signals(-status).name}) with {watch.last.get('values', 'what it ran on')},"
            " which any caller may send; bound these inputs inside the file and export it again."
        )
        return ProbeResult("crashed_signal", message, asked, network_confined=confined)
    if last["code"] != "passed":
        message = memory_message(memory_limit_bytes) if last["code"] == "memory" else last["message"]
        return ProbeResult(
            last["code"], message, asked, peak_rss_bytes=last["peak_rss_bytes"], network_confined=confined
        )
    return ProbeResult(
        signature=Signature.from_json(last["signature"]),
        fact=ProbeFact(sha256, last["runtime_version"], last["provider"], options.digest),
        provider_asked=asked,
        network_confined=confined,
        sample=Sample.from_json(last["sample"]),
        left_out=tuple(map(str, last["left_out"])),
        **{name: last[name] for name in _REPORTED},
    )


def _followed(
    order: dict[str, Any], known: KnownInputs, time_limit_s: float, memory_limit_bytes: int
) -> "tuple[_Watch, int]":
    """Start the child, follow it to its end or a limit, leave nothing of it."""
    with ScratchFolder("probe") as folder:
        known.write(folder / order["known"])
        child = start_child("probe_child", order, folder)
        watch = _Watch(child, time_limit_s, memory_limit_bytes)
        try:
            watch.follow()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            watch.pipe.close()
            with suppress(subprocess.TimeoutExpired):  # stuck in a driver: the kernel ends it when it can
                child.wait(_DEATH_S)
    return watch, child.returncode or 0


class _Watch:
    """Reads the child's lines until it ends, or a limit does; `cause` then names the limit."""

    def __init__(
        self, child: "subprocess.Popen[bytes]", time_limit_s: float, memory_limit_bytes: int
    ) -> None:
        assert child.stdout is not None  # noqa: S101  for the type checker
        self._child, self.pipe = child, child.stdout
        self._ends_at = time.monotonic() + time_limit_s
        self._memory_limit_bytes = memory_limit_bytes
        self._own_bytes = 0  # what the child held before the file
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
                    self._take(chunk)
                self._look()
        # a child that closes its pipe and lives on is as stuck as a silent one; it is not reaped here, for
        # its number must stay its own until its group has been killed
        while not self.cause and os.waitid(os.P_PID, self._child.pid, _HAS_ENDED) is None:
            time.sleep(_LINGER_S)
            self._look()

    def _take(self, chunk: bytes) -> None:
        self._size += len(chunk)
        *lines, self._unread = (self._unread + chunk).split(b"\n")
        for line in lines:
            try:
                self.last = json.loads(line)
                self._own_bytes = self._own_bytes or self.last["resident_bytes"]
                self.network_confined |= self.last.get("network_confined", False) is True
            except (ValueError, LookupError, TypeError):  # only a child that is no longer ours writes this
                self.cause = "crashed_signal"
                return
            if self.done is None and self.last.get("phase") == "done":
                self.done = self.last
                self._ends_at = min(self._ends_at, time.monotonic() + _EXTREMES_S)

    def _look(self) -> None:
        if self._size > _MAX_REPORT_BYTES:
            self.cause = "load_failed"
        elif time.monotonic() > self._ends_at:
            self.cause = "timed_out"
        elif self._own_bytes and resident_of(self._child.pid) - self._own_bytes > self._memory_limit_bytes:
            self.cause = "memory"


def start_child(
    program: str, order: Mapping[str, Any], folder: Path, pass_fds: Sequence[int] = ()
) -> "subprocess.Popen[bytes]":
    """Start one of our programs with an order, and with nothing of ours but the descriptors that are named."""
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    environment |= {
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "OPENBLAS_NUM_THREADS": "1",
        "CUDA_CACHE_DISABLE": "1",
    }
    return subprocess.Popen(  # noqa: S603  our own interpreter and program
        [sys.executable, "-I", "-c", _START.format(program), str(_ROOT), json.dumps(order)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env=environment,
        pass_fds=pass_fds,
        start_new_session=True,  # its own group, so that killing it takes along whatever it started
    )


def _explain(watch: _Watch, status: int, time_limit_s: float, memory_limit_bytes: int) -> tuple[str, str]:
    doing = {"loading": "while loading", "running": "in its first run"}.get(
        watch.last.get("phase", ""), "at its start"
    )
    cause = watch.cause or ("timed_out" if -status == signal.SIGXCPU else "crashed_signal")
    if cause == "timed_out":
        return (
            cause,
            f"The file took longer than {time_limit_s:g} s {doing} and was ended; send a model that answers.",
        )
    if cause == "memory":
        return cause, memory_message(memory_limit_bytes)
    if cause == "load_failed":
        return cause, "The file declares more inputs and outputs than can be served; export it again."
    name = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    return cause, f"The runtime crashed {doing} ({name}); export the file again, it must not be loaded."


def memory_message(limit_bytes: int) -> str:
    return f"The file needs more than {limit_bytes // _MIB} MiB of memory; use a smaller model or raise the probe's limit."


def resident_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):  # gone, or not Linux
        return 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
