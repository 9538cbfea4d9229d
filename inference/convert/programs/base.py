"""The frame of all converter programs: confine, import, limit, then do one thing with one file, and report lines of JSON."""

import json
import os
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from inference.confinement.child import confine, die_with, limit_resources, take_stdout
from inference.confinement.errors import NotConfined
from inference.confinement.memory import process_memory

CONVERTED, INPUTS, OUTPUTS = "model.onnx", "inputs.npz", "outputs.npz"
MAX_MESSAGE = 1_000
_MAX_ONNX_BYTES = 8 << 30


class Refused(Exception):
    """The file cannot be converted; the message says why and what to do, in full sentences."""


@dataclass(frozen=True, slots=True)
class ConverterJob:
    """What the parent wants done with a file, or with a folder that it unpacked."""

    format: str
    source: Path
    options: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Program:
    """How an environment converts its formats, and runs them as they are.

    `load_packages` imports what the environment has: its own memory does not count. `convert` writes `model.onnx` into the
    working folder, and returns facts for people: versions, operator set, flags. `run` answers each set of inputs with the
    format's own runtime, as arrays by name, or by number if the format knows no names.
    """

    load_packages: Callable[[str], None]
    convert: Callable[[ConverterJob], dict[str, Any]]
    run: Callable[[ConverterJob, list[dict[str, Any]]], list[dict[str, Any]]]


def run_program(program: Program) -> NoReturn:
    """Do what the parent's configuration says, and end."""
    config = json.loads(sys.argv[1])
    report = take_stdout()
    die_with(config["parent"])
    job = ConverterJob(config["format"], Path(config["source"]), config["options"])
    try:
        if job.source.is_file() and not job.source.stat().st_size:
            raise Refused("The file is empty; send it again.")
        confine(readable=[job.source], writable=[Path.cwd()])
        result = _limited(program, job, config, report)
    except NotConfined as error:
        result = {"code": "not_confined", "message": str(error)}
    except Refused as error:
        result = {"code": "refused", "message": str(error)[:MAX_MESSAGE]}
    except MemoryError:
        result = {"code": "memory", "message": ""}
    except BaseException as error:  # noqa: BLE001  whatever the file or a converter raises is its answer
        result = {"code": "failed", "message": f"{type(error).__name__}: {error}"[:MAX_MESSAGE]}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    _send(report, phase="done", resident_bytes=process_memory()[1], peak_rss_bytes=peak, **result)
    os._exit(0)


def _limited(program: Program, job: ConverterJob, config: dict[str, Any], report: int) -> dict[str, Any]:
    program.load_packages(job.format)
    limit_resources(
        cpu_s=config["cpu_limit_s"],
        memory_bytes=None,  # runtimes map far more addresses than they use; the parent watches their memory
        open_files=256,
        file_bytes=_MAX_ONNX_BYTES,
    )
    _send(report, phase="loading", resident_bytes=process_memory()[1])
    if config["do"] == "convert":
        return {"code": "done", "facts": program.convert(job)}
    _write_arrays(program.run(job, _read_arrays()))
    return {"code": "done", "facts": {}}


def _read_arrays() -> list[dict[str, Any]]:
    """Arrays by name, for each set: `<set>/<name>`."""
    import numpy as np  # only an environment's children have it, and only after they are confined

    with np.load(INPUTS, allow_pickle=False) as file:
        sets: list[dict[str, Any]] = []
        for key in file.files:
            number, _, name = key.partition("/")
            while len(sets) <= int(number):
                sets.append({})
            sets[int(number)][name] = file[key]
    return sets


def _write_arrays(sets: list[dict[str, Any]]) -> None:
    import numpy as np

    arrays = {f"{number}/{name}": array for number, found in enumerate(sets) for name, array in found.items()}
    with Path(OUTPUTS).open("wb") as file:
        np.savez(file, **arrays)


def _send(descriptor: int, **fields: Any) -> None:
    os.write(descriptor, json.dumps(fields).encode() + b"\n")
