"""The disposable child of the probe: limits itself, loads one file, runs it until something works, reports lines of JSON."""

import ctypes
import importlib
import json
import math
import os
import resource
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from inference.checks.answers.examples import read_example
from inference.checks.network import leave_network
from inference.engine.backends import Backend, LoadedSession, SessionOptions
from inference.engine.errors import CannotCarry, LoadFailed, LocaleMissing, OutOfMemory
from inference.engine.extremes import try_extremes
from inference.engine.onnx_session import tells_of_memory
from inference.engine.sample_search import find_sample
from inference.engine.samples import Sample
from inference.tensors.errors import InferenceError, InvalidInput
from inference.tensors.prepare import Array

_PR_SET_PDEATHSIG = 1
_PAGE = resource.getpagesize()


def main() -> NoReturn:
    order = json.loads(sys.argv[1])
    report = take_stdout()
    is_confined = leave_network()  # before the death signal, which new rights could take back
    die_with(order["parent"])
    known = _taken(Path(order["known"]))
    module, _, name = order["backend"].partition(":")
    backend: Backend = getattr(importlib.import_module(module), name)()
    runtime_version = backend.runtime_version()
    limit(order)
    os.write(report, _line(phase="loading", resident_bytes=_statm()[1], network_confined=is_confined))
    session = None
    try:
        session, sample, result = _probe(backend, order, known, report)
    except (InferenceError, MemoryError) as error:
        result = {"code": code_of(error), "message": str(error)}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    os.write(report, _line(phase="done", runtime_version=runtime_version, peak_rss_bytes=peak, **result))
    if session is not None:  # from here on only a crash speaks against the file
        try_extremes(
            session, sample, tell=lambda values: os.write(report, _line(phase="extremes", values=values))
        )
    os._exit(0)  # tearing a hostile model down could still crash


def _probe(
    backend: Backend, order: dict[str, Any], known: dict[str, Any], report: int
) -> tuple[LoadedSession, Sample, dict[str, Any]]:
    options = SessionOptions(**{**order["options"], "providers": tuple(order["options"]["providers"])})
    started = time.monotonic()
    session = backend.load(Path(order["path"]), options)
    loaded = time.monotonic()
    os.write(report, _line(phase="running", resident_bytes=_statm()[1]))
    examples = list(_tensors(session, known["examples"]))
    found = find_sample(session, examples=examples, shapes=known["shapes"])
    return (
        session,
        found.sample,
        {
            "code": "passed",
            "message": "The file loads and runs.",
            "sample": found.sample.to_json(),
            "source": found.source,
            "tries": found.tries,
            "left_out": list(session.left_out),
            "signature": session.signature.to_json(),
            "provider": session.provider,
            "load_s": loaded - started,
            "run_s": time.monotonic() - loaded,
        },
    )


def _taken(path: Path) -> dict[str, Any]:
    """What is known of the inputs; the file finds the folder empty."""
    known: dict[str, Any] = json.loads(path.read_bytes())
    path.unlink()
    return known


def _tensors(session: LoadedSession, examples: Iterable[dict[str, Any]]) -> Iterator[dict[str, Array]]:
    """Examples as the file takes them; the step that runs them says what is wrong with the others."""
    for inputs in examples:
        with suppress(InvalidInput):
            yield read_example(session.signature, inputs)[0]


def take_stdout() -> int:
    """Keep the pipe for the report and give everything else /dev/null: native code prints what it likes."""
    report = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    return report


def die_with(parent: int) -> None:
    with suppress(OSError, AttributeError):  # Linux only; elsewhere the CPU limit ends a forgotten child
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked to be told
        os._exit(1)


def limit(order: dict[str, Any]) -> None:
    """Take away what loading a file does not need; memory counts from here, after the runtime's own."""
    seconds = math.ceil(order["time_limit_s"] * max(1, order["options"]["intra_op_threads"])) + 1
    wishes = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_NOFILE: 64 if order["is_cpu_only"] else 1024,
    }
    if order["is_cpu_only"]:  # CUDA maps far more addresses than it uses: there the parent watches
        wishes[resource.RLIMIT_AS] = _statm()[0] + order["memory_limit_bytes"]
    for what, wish in wishes.items():
        hard = resource.getrlimit(what)[1]
        value = wish if hard == resource.RLIM_INFINITY else min(wish, hard)
        resource.setrlimit(what, (value, value))


def _statm() -> tuple[int, int]:
    """Give this process's address space and resident memory in bytes; zeros where the system does not tell."""
    try:
        size, resident = Path("/proc/self/statm").read_bytes().split()[:2]
    except OSError:
        return 0, 0
    return int(size) * _PAGE, int(resident) * _PAGE


def code_of(error: Exception) -> str:
    if isinstance(error, (MemoryError, OutOfMemory)) or tells_of_memory(error):
        return "memory"
    if isinstance(error, (CannotCarry, LocaleMissing)):
        return error.code
    return "load_failed" if isinstance(error, LoadFailed) else "run_failed"


def _line(**fields: Any) -> bytes:
    return json.dumps(fields).encode() + b"\n"
