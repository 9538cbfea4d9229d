"""Notes that outlive the process: which version each thread runs, and what Python's fault handler writes on a crash.

One file per process: a slot for each thread that runs versions, then the fault handler's text. The process holds a lock
on its file. If the lock is free, the process has ended, and whichever process takes the lock reads why.
"""

import faulthandler
import fcntl
import mmap
import os
import re
import signal
import struct
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from inference.engine.backends import Backend, LoadedSession, SessionOptions
from inference.tensors.arrays import Array, Tensors

NATIVE_CRASHES = frozenset({signal.SIGSEGV, signal.SIGFPE, signal.SIGABRT, signal.SIGBUS, signal.SIGILL})
_SENTENCES = {
    "Segmentation fault": signal.SIGSEGV,
    "Floating point exception": signal.SIGFPE,
    "Floating-point exception": signal.SIGFPE,
    "Aborted": signal.SIGABRT,
    "Bus error": signal.SIGBUS,
    "Illegal instruction": signal.SIGILL,
}
_FATAL = re.compile(r"^Fatal Python error: (.+)$", re.MULTILINE)
_CURRENT = re.compile(r"^Current thread 0x([0-9a-f]+)", re.MULTILINE)
_SLOTS = 512
_SLOT = struct.Struct("QQ")  # the thread, and the label of what it runs; 0: nothing
_LAST = _SLOTS - 1  # shared by threads that found no free slot; it does not identify them
_MAP_BYTES = _SLOTS * _SLOT.size
_MAX_TEXT_BYTES = 1 << 16
_SUFFIX = ".crash"


class _ThreadSlot:
    """A thread's slot. It becomes free again when the thread ends."""

    __slots__ = ("_free", "index")

    def __init__(self, free: deque[int]) -> None:
        self._free = free
        self.index = free.popleft()

    def __del__(self) -> None:
        with suppress(AttributeError):  # no slot was free
            self._free.append(self.index)


class CrashNotes:
    """This process's notes. A `label` is a number above 0: a version's id."""

    def __init__(self, folder: Path, process: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{process}-{os.getpid()}-{uuid4().hex[:8]}{_SUFFIX}"
        new_path = self.path.with_suffix(".new")  # no process may find it before it is locked
        self._file = new_path.open("x+b", buffering=0)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._file.truncate(_MAP_BYTES)
        self._file.seek(_MAP_BYTES)
        self._slots = memoryview(mmap.mmap(self._file.fileno(), _MAP_BYTES)).cast("Q")
        self._free = deque(range(_LAST))
        self._local = threading.local()
        new_path.rename(self.path)
        faulthandler.enable(self._file)

    @contextmanager
    def running(self, label: int) -> Iterator[None]:
        index = self.slot_index()
        self._slots[index] = label
        try:
            yield
        finally:
            self._slots[index] = 0

    def slot_index(self) -> int:
        """Where this thread notes what it runs."""
        try:
            index: int = self._local.slot.index
        except AttributeError:
            index = self._take_slot()
        return 2 * index + 1

    def _take_slot(self) -> int:
        try:
            slot = self._local.slot = _ThreadSlot(self._free)
        except IndexError:
            return _LAST
        self._slots[2 * slot.index] = threading.get_ident()
        return slot.index

    def close(self) -> None:
        """The process is ending normally, so delete its notes."""
        faulthandler.disable()
        self.path.unlink(missing_ok=True)
        self._file.close()


class NotedBackend:
    """Notes each load and run of another backend."""

    def __init__(self, backend: Backend, notes: CrashNotes) -> None:
        self._backend, self._notes = backend, notes
        self.name = backend.name

    def runtime_version(self) -> str:
        return self._backend.runtime_version()

    def load(self, path: Path, options: SessionOptions) -> LoadedSession:
        with self._notes.running(options.label):
            session = self._backend.load(path, options)
        return _NotedSession(session, self._notes, options.label)


class _NotedSession:
    def __init__(self, session: LoadedSession, notes: CrashNotes, label: int) -> None:
        self._session, self._label = session, label
        self._slot_index, self._slots = notes.slot_index, notes._slots
        self._notes = notes
        self.signature, self.provider = session.signature, session.provider
        self.is_steady = session.is_steady
        self.axis_names, self.left_out, self.texts = session.axis_names, session.left_out, session.texts

    def run(
        self, inputs: Tensors, outputs: Sequence[str] | None = None, *, soft_limit_s: float | None = None
    ) -> dict[str, Array]:
        index = self._slot_index()  # not `running()`: a context manager costs a microsecond
        self._slots[index] = self._label
        try:
            return self._session.run(inputs, outputs, soft_limit_s=soft_limit_s)
        finally:
            self._slots[index] = 0

    def shrink(self, inputs: Tensors) -> None:
        with self._notes.running(self._label):
            self._session.shrink(inputs)

    def footprint_bytes(self) -> int:
        return self._session.footprint_bytes()

    def close(self) -> None:
        with self._notes.running(self._label):
            self._session.close()


@dataclass(frozen=True, slots=True)
class NativeCrash:
    """A crash that ended a process. `blamed`: the version that the crashed thread ran; 0 if unknown."""

    process: str
    signal: str
    running: tuple[int, ...]
    blamed: int
    at: datetime
    text: str


class EndedProcess:
    """The notes of a process that has ended. We hold their lock until the next one is yielded."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self.name = path, path.stem
        self.crash = _crash_in(path, file)

    def forget(self) -> None:
        self._path.unlink(missing_ok=True)


def ended_processes(folder: Path) -> Iterator[EndedProcess]:
    """Yield the processes with notes in the folder that have ended for any reason."""
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        with suppress(FileNotFoundError), path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # it is alive, or another process is reading this
                continue
            if path.exists():  # otherwise another process has just read it
                yield EndedProcess(path, file)


def _crash_in(path: Path, file: BinaryIO) -> NativeCrash | None:
    slots = list(_SLOT.iter_unpack(file.read(_MAP_BYTES)))
    text = file.read(_MAX_TEXT_BYTES).decode(errors="replace")
    fatal = _FATAL.search(text)
    kind = _SENTENCES.get(fatal[1].strip()) if fatal is not None else None
    if kind is None:
        return None
    running = {thread: label for thread, label in slots if label}
    current = _CURRENT.search(text)
    if current is not None:
        blamed = running.get(int(current[1], 16), 0)
    else:  # a thread of the runtime, which may be working for any of the running versions
        blamed = next(iter(running.values())) if len(running) == 1 else 0
    at = datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC)
    process = path.stem.partition("-")[0]
    return NativeCrash(process, kind.name, tuple(sorted(set(running.values()))), blamed, at, text)
