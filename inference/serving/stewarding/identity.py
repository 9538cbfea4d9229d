"""Who a process is, so that another on the same host can tell that it has ended."""

import os
import socket
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_STARTED_FIELD = 19  # of /proc/PID/stat, counted behind the name: when the process began


@dataclass(frozen=True, slots=True)
class Identity:
    """A process. `place` is the boot and the namespace in which its number means something; "": nobody can tell."""

    id: str
    host: str
    place: str
    pid: int
    pid_started: int


def own_identity() -> Identity:
    pid = os.getpid()
    return Identity(
        id=uuid.uuid4().hex[:12],
        host=socket.gethostname()[:100],
        place=_place(),
        pid=pid,
        pid_started=_started(pid) or 0,
    )


def is_gone(place: str, pid: int, pid_started: int) -> bool:
    """Whether it is certain that this process runs no more; numbers are used again, so the beginning counts too."""
    return bool(place) and place == _place() and _started(pid) != pid_started


def _place() -> str:
    with suppress(OSError):
        return f"{_BOOT.read_text().strip()}/{os.readlink('/proc/self/ns/pid')}"
    return ""


def _started(pid: int) -> int | None:
    """When a process began, in clock ticks; None where there is none, or only what is left of one."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[_STARTED_FIELD - 1]) if state not in {"Z", "X"} else None
