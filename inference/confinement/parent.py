"""Starting a disposable child, and watching it until it ends or passes a limit."""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from inference.confinement.memory import process_memory

_ROOT = Path(__file__).resolve().parents[2]
_START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from inference.{} import main; main()"
# Where the runtime and CUDA find libraries, devices and locales. The child gets no other variable, and no secrets.
_PASSED_ON = (
    "PATH", "LD_LIBRARY_PATH", "LOCPATH",
    "CUDA_VISIBLE_DEVICES", "CUDA_HOME", "CUDA_PATH", "NVIDIA_VISIBLE_DEVICES",
)  # fmt: skip
_MAX_REPORT_BYTES = 4 << 20
_MAX_FILES = 10_000  # in the folder of a child whose disk is limited
_LOOK_EVERY_S = 0.05
_LINGER_S = 0.002
_DEATH_S = 5.0
_HAS_ENDED = os.WEXITED | os.WNOHANG | os.WNOWAIT


def follow_child(
    program: str,
    config: Mapping[str, Any],
    folder: Path,
    *,
    python: str = sys.executable,
    after_result_s: float = _DEATH_S,
) -> "tuple[ChildWatch, int]":
    """Start a child that reports lines of JSON, watch it until it ends or hits a limit, and kill whatever is left.

    `python`: the interpreter of another environment. `after_result_s`: how long the child may go on once it has reported
    its result, if that is sooner than its limit. Returns what was seen, and the child's exit status.
    A `disk_limit_bytes` in the configuration is for all files in the folder together.
    """
    child = start_child(program, config, folder, python=python)
    watch = ChildWatch(child, config["time_limit_s"], config["memory_limit_bytes"], after_result_s)
    watch.limit_disk(folder, config.get("disk_limit_bytes"))
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
        self,
        child: "subprocess.Popen[bytes]",
        time_limit_s: float,
        memory_limit_bytes: int,
        after_result_s: float,
    ) -> None:
        assert child.stdout is not None  # noqa: S101  for the type checker
        self._child, self.pipe = child, child.stdout
        self.time_limit_s, self.memory_limit_bytes = time_limit_s, memory_limit_bytes
        self._after_result_s = after_result_s
        self._ends_at = time.monotonic() + time_limit_s
        self._own_bytes = 0  # the child's memory before it loaded the file
        self._unread = b""
        self._size = 0
        self.first: dict[str, Any] = {}
        self.last: dict[str, Any] = {}
        self.done: dict[str, Any] | None = None
        self.cause = ""
        self._folder, self.disk_limit_bytes = Path(), 0

    def limit_disk(self, folder: Path, limit_bytes: int | None) -> None:
        self._folder, self.disk_limit_bytes = folder, limit_bytes or 0

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
                self.last = {**json.loads(line)}
                self._own_bytes = self._own_bytes or int(self.last["resident_bytes"])
            except (
                ValueError,
                LookupError,
                TypeError,
                RecursionError,
            ):  # only a file that controls the child
                self.cause = "crashed_signal"
                return
            self.first = self.first or self.last
            if self.done is None and self.last.get("phase") == "done":
                self.done = self.last
                self._ends_at = min(self._ends_at, time.monotonic() + self._after_result_s)

    def _check_limits(self) -> None:
        if self._size > _MAX_REPORT_BYTES:
            self.cause = "load_failed"
        elif time.monotonic() > self._ends_at:
            self.cause = "timed_out"
        elif (
            self._own_bytes and process_memory(self._child.pid)[1] - self._own_bytes > self.memory_limit_bytes
        ):
            self.cause = "memory"
        elif self.disk_limit_bytes and _is_fuller(self._folder, self.disk_limit_bytes):
            self.cause = "disk"


def _is_fuller(folder: Path, limit_bytes: int) -> bool:
    """Whether more is in a folder, in bytes or in a great number of files, while its owner goes on writing."""
    size = count = 0
    folders = [str(folder)]  # not `os.walk`, which calls itself for each folder in a folder
    while folders:
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                count += 1
                if count > _MAX_FILES or size > limit_bytes:
                    return True
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    size += entry.stat(follow_symlinks=False).st_size
    return size > limit_bytes


def start_child(
    program: str,
    config: Mapping[str, Any],
    folder: Path,
    pass_fds: Sequence[int] = (),
    *,
    python: str = sys.executable,
) -> "subprocess.Popen[bytes]":
    """Start one of our programs, such as `checks.probe_child`, in a child process.

    It inherits nothing but the given descriptors, and has only the folder to write in.
    """
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    environment |= {
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "OPENBLAS_NUM_THREADS": "1",
        "CUDA_CACHE_DISABLE": "1",
    }
    return subprocess.Popen(  # noqa: S603  our own interpreter and program
        [python, "-I", "-c", _START.format(program), str(_ROOT), json.dumps(config)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env=environment,
        pass_fds=pass_fds,
        start_new_session=True,  # its own group, so that killing it also kills what it started
    )
