"""Reads a version's task in a disposable child first, because a bad tokenizer file can take all memory or never end."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from inference.confinement.parent import ChildWatch, follow_child
from inference.scratch import ScratchFolder
from inference.tensors.signature import Signature

TIME_LIMIT_S = 30.0
MEMORY_LIMIT_BYTES = 2 << 30
_ORDER = "order.json"
# Native code aborts when it gets no memory.
_OUT_OF_MEMORY = {-signal.SIGABRT}


class TaskRefused(Exception):
    """The task cannot be used. `cause` is refused, timed_out, memory, crashed or not_started."""

    def __init__(self, cause: str, message: str, field: str = "") -> None:
        self.cause, self.field = cause, field
        super().__init__(message)


def probe_task(
    task: str,
    config: Mapping[str, Any],
    signature: Signature,
    files: Mapping[str, Path],
    *,
    time_limit_s: float = TIME_LIMIT_S,
    memory_limit_bytes: int = MEMORY_LIMIT_BYTES,
) -> str:
    """Build the pipeline in a child, which reads a short and a long text. Return its pre-processing hash.

    Raises TaskRefused, whatever the files do, shortly after `time_limit_s` at the latest.
    """
    limits = {
        "order": _ORDER,
        "parent": os.getpid(),
        "is_cpu_only": True,
        "options": {"intra_op_threads": 1},
        "time_limit_s": time_limit_s,
        "memory_limit_bytes": memory_limit_bytes,
    }
    order = {
        "task": task,
        "config": config,
        "signature": signature.to_json(),
        "files": {name: str(path.resolve()) for name, path in files.items()},
    }
    try:
        with ScratchFolder("task") as folder:
            # Labels may be longer than arguments of a program.
            (folder / _ORDER).write_bytes(orjson.dumps(order))
            watch, status = follow_child("checks.task_child", limits, folder)
    except OSError as error:
        raise TaskRefused(
            "not_started", f"The process that reads it could not be started ({error.strerror})."
        ) from None
    return _digest(watch, status)


def _digest(watch: ChildWatch, status: int) -> str:
    done = watch.done
    if done is None or watch.cause:
        raise _ended(watch, status)
    if done["code"] == "passed":
        return str(done["digest"])
    if done["code"] == "memory":
        raise _out_of_memory(watch)
    raise TaskRefused(str(done["code"]), str(done["message"]), str(done.get("field", "")))


def _ended(watch: ChildWatch, status: int) -> TaskRefused:
    if watch.cause == "timed_out" or status == -signal.SIGXCPU:
        return TaskRefused("timed_out", f"Reading it took longer than {watch.time_limit_s:g} s.")
    if watch.cause == "memory" or status in _OUT_OF_MEMORY:
        return _out_of_memory(watch)
    name = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    return TaskRefused("crashed", f"The process that read it crashed ({name}).")


def _out_of_memory(watch: ChildWatch) -> TaskRefused:
    return TaskRefused(
        "memory", f"Reading it takes more than {watch.memory_limit_bytes >> 20:,} MiB of memory."
    )
