"""A process's identity on its host, and its role."""

import os
import socket
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_START_TIME_FIELD = 19  # in /proc/PID/stat, counted after the name


@dataclass(frozen=True, slots=True)
class Identity:
    """A process. `place` is the boot and the PID namespace that `pid` belongs to; "" if they cannot be read."""

    id: str
    host: str
    place: str
    pid: int
    pid_started: int


@dataclass(frozen=True, slots=True)
class ProcessRole:
    """What a process does, as its entry point defines it."""

    kind: str
    role: str
    pool: str
    threads: int


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """The facts about a process that stay the same while it runs."""

    identity: Identity
    kind: str
    role: str
    pool: str
    threads: int


def this_process() -> Identity:
    pid = os.getpid()
    return Identity(
        id=uuid.uuid4().hex[:12],
        host=socket.gethostname()[:100],
        place=_place(),
        pid=pid,
        pid_started=_start_time(pid) or 0,
    )


def has_ended(place: str, pid: int, pid_started: int) -> bool:
    """Whether this process has certainly ended. PIDs are reused, so the start time is compared too."""
    return bool(place) and place == _place() and _start_time(pid) != pid_started


def _place() -> str:
    with suppress(OSError):
        return f"{_BOOT.read_text().strip()}/{os.readlink('/proc/self/ns/pid')}"
    return ""


def _start_time(pid: int) -> int | None:
    """When a process started, in clock ticks; None for one that has ended, zombies included."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[_START_TIME_FIELD - 1]) if state not in {"Z", "X"} else None
