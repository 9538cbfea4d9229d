"""The probe's disposable child: limits itself, loads one file, runs it until a sample works, reports lines of JSON."""

import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from inference.checks.examples import read_example
from inference.confinement.child import confine, die_with, leave_network, limit_resources, take_stdout
from inference.confinement.errors import NotConfined
from inference.confinement.memory import process_memory
from inference.engine.backends import Backend, LoadedSession, SessionOptions
from inference.engine.errors import CannotCarry, LoadFailed, LocaleMissing, OutOfMemory
from inference.engine.onnx_session import is_out_of_memory
from inference.engine.probe_inputs import find_sample, try_extreme_integers
from inference.tensors.arrays import Tensors
from inference.tensors.errors import InferenceError, InvalidInput
from inference.tensors.samples import Sample


def main() -> NoReturn:
    config = json.loads(sys.argv[1])
    report = take_stdout()
    backend = backend_of(config)
    given_up = give_up(config, Path(config["path"]))
    known = read_and_delete(Path(config["known"]))
    runtime_version = backend.runtime_version()
    limit_for(config)
    send_report(report, phase="loading", resident_bytes=process_memory()[1], **given_up)
    session = None
    try:
        session, sample, result = _probe(backend, config, known, report)
    except (InferenceError, MemoryError) as error:
        result = {"code": error_code(error), "message": str(error)}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    send_report(report, phase="done", runtime_version=runtime_version, peak_rss_bytes=peak, **result)
    if session is not None:  # from here on only a crash counts against the file
        try_extreme_integers(
            session, sample, report=lambda values: send_report(report, phase="extremes", values=values)
        )
    os._exit(0)  # tearing a hostile model down could still crash


def give_up(config: dict[str, Any], *readable: Path) -> dict[str, bool]:
    """Give up the network, and all files but these, as far as this kernel lets us; return what was given up.

    Call it before the runtime is imported, which may start threads.
    """
    network = leave_network()  # before the death signal, which a change of privileges could clear
    die_with(config["parent"])
    files = config["is_cpu_only"]  # CUDA's driver needs devices, and may start a program
    if files:
        try:
            confine(readable=readable, writable=[Path.cwd()])
        except NotConfined:
            files = False
    return {"network_confined": network or files, "files_confined": files}


def limit_for(config: dict[str, Any]) -> None:
    """Limit resources to what loading a file needs."""
    is_cpu_only = config["is_cpu_only"]
    limit_resources(
        cpu_s=config["time_limit_s"] * max(1, config["options"]["intra_op_threads"]),
        # CUDA maps far more addresses than it uses, so with CUDA the parent watches memory.
        memory_bytes=config["memory_limit_bytes"] if is_cpu_only else None,
        open_files=64 if is_cpu_only else 1024,
    )


def backend_of(config: dict[str, Any]) -> Backend:
    module, _, name = config["backend"].partition(":")
    backend: Backend = getattr(importlib.import_module(module), name)()
    return backend


def options_of(config: dict[str, Any]) -> SessionOptions:
    return SessionOptions(**{**config["options"], "providers": tuple(config["options"]["providers"])})


def _probe(
    backend: Backend, config: dict[str, Any], known: dict[str, Any], report: int
) -> tuple[LoadedSession, Sample, dict[str, Any]]:
    started = time.monotonic()
    session = backend.load(Path(config["path"]), options_of(config))
    loaded = time.monotonic()
    send_report(report, phase="running", resident_bytes=process_memory()[1])
    examples = list(_readable_examples(session, known["examples"]))
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


def read_and_delete(path: Path) -> dict[str, Any]:
    """Read what is known about the inputs, and delete it: the probed file should find an empty folder."""
    known: dict[str, Any] = json.loads(path.read_bytes())
    path.unlink()
    return known


def _readable_examples(session: LoadedSession, examples: Iterable[dict[str, Any]]) -> Iterator[Tensors]:
    """Skip examples that do not fit; the step that runs them says what is wrong."""
    for inputs in examples:
        with suppress(InvalidInput):
            yield read_example(session.signature, inputs)[0]


def error_code(error: Exception) -> str:
    if isinstance(error, (MemoryError, OutOfMemory)) or is_out_of_memory(error):
        return "memory"
    if isinstance(error, (CannotCarry, LocaleMissing)):
        return error.code
    return "load_failed" if isinstance(error, LoadFailed) else "run_failed"


def send_report(descriptor: int, **fields: Any) -> None:
    os.write(descriptor, json.dumps(fields).encode() + b"\n")
