"""The disposable child of the probe: limits itself, loads one file, runs it once, reports lines of JSON."""

import ctypes
import importlib
import json
import math
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from inference.checks.network import leave_network
from inference.engine.backends import Backend, SessionOptions
from inference.engine.errors import EngineError, LoadFailed
from inference.engine.tensors import example_for

_PR_SET_PDEATHSIG = 1
_PAGE = resource.getpagesize()
_OUT_OF_MEMORY = ("bad_alloc", "failed to allocate", "bad allocation", "out of memory")


def main() -> NoReturn:
    order = json.loads(sys.argv[1])
    report = take_stdout()
    is_confined = leave_network()  # before the death signal, which new rights could take back
    die_with(order["parent"])
    module, _, name = order["backend"].partition(":")
    backend: Backend = getattr(importlib.import_module(module), name)()
    runtime_version = backend.runtime_version()
    limit(order)
    os.write(report, _line(phase="loading", resident_bytes=_statm()[1], network_confined=is_confined))
    try:
        result = _probe(backend, order, report)
    except (EngineError, MemoryError) as error:
        result = {"code": code_of(error), "message": str(error)}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    os.write(report, _line(phase="done", runtime_version=runtime_version, peak_rss_bytes=peak, **result))
    os._exit(0)  # tearing a hostile model down could still crash


def _probe(backend: Backend, order: dict[str, Any], report: int) -> dict[str, Any]:
    options = SessionOptions(**{**order["options"], "providers": tuple(order["options"]["providers"])})
    started = time.monotonic()
    session = backend.load(Path(order["path"]), options)
    loaded = time.monotonic()
    os.write(report, _line(phase="running", resident_bytes=_statm()[1]))
    session.run(example_for(session.signature, rows=order["rows"], other=order["dynamic"]))
    return {
        "code": "passed",
        "message": "The file loads and runs.",
        "signature": session.signature.to_json(),
        "provider": session.provider,
        "load_s": loaded - started,
        "run_s": time.monotonic() - loaded,
    }


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
    text = str(error).lower()
    if isinstance(error, MemoryError) or any(word in text for word in _OUT_OF_MEMORY):
        return "memory"
    return "load_failed" if isinstance(error, LoadFailed) else "run_failed"


def _line(**fields: Any) -> bytes:
    return json.dumps(fields).encode() + b"\n"
