"""Loads a file in a disposable child first, because a bad model file can crash the process that loads it."""

import hashlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from inference.confinement.parent import ChildWatch, follow_child
from inference.engine.backends import ProbeFact, SessionOptions
from inference.engine.crash_notes import NATIVE_CRASHES
from inference.engine.probe_inputs import EXTREMES_TIME_LIMIT_S
from inference.scratch import ScratchFolder
from inference.tensors.samples import EMPTY_SAMPLE, Sample
from inference.tensors.signature import Signature

ONNX = "inference.engine.onnx_backend:OnnxBackend"
_CPU_ONLY = {"CPUExecutionProvider"}
_EXTREMES_S = EXTREMES_TIME_LIMIT_S + 2.0  # once the file is known to run
# After these causes the child's last report cannot be trusted: the file may control the child, or its output never ends.
_UNTRUSTED = {"crashed_signal", "load_failed"}
# An abort may be caused by our own memory limit.
_CRASHES = {int(number) for number in NATIVE_CRASHES - {signal.SIGABRT}}
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
    # What the kernel let the child give up:
    network_confined: bool = False
    files_confined: bool = False


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
    given_up = {name: watch.first.get(name) is True for name in ("network_confined", "files_confined")}
    result, last = partial(result, **given_up), watch.done
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
        return follow_child("checks.probe_child", config, folder, after_result_s=_EXTREMES_S)


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
