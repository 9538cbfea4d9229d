"""How a disposable child confines itself before it loads a file: few files, no network, few resources, killed with its parent."""

import ctypes
import math
import os
import resource
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from inference.confinement.errors import NotConfined
from inference.confinement.landlock import restrict_files
from inference.confinement.memory import process_memory
from inference.confinement.seccomp import refuse_calls

_NEW_USER, _NEW_NETWORK = 0x1000_0000, 0x4000_0000
_PR_SET_PDEATHSIG = 1
_PRODUCT = Path(__file__).resolve().parents[2]
# What Python and native runtimes read. No folder here may hold settings, keys or data.
_SYSTEM = (
    "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/locale", "/usr/share/zoneinfo", "/lib", "/lib64",
    "/etc/ld.so.cache", "/etc/localtime", "/dev/urandom", "/dev/random", "/dev/zero",
    "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/sys/vm", "/sys/devices/system",
)  # fmt: skip


def confine(*, readable: Iterable[Path], writable: Iterable[Path] = ()) -> None:
    """Leave this process the files of Python, of our code, and those given; no sockets, programs or other processes.

    Nothing undoes this, and threads started from now on are confined, too. Raises NotConfined where the kernel lacks a
    part, or threads are running already.
    """
    with suppress(FileNotFoundError):  # not Linux, which is said below
        if len(os.listdir("/proc/self/task")) > 1:
            raise NotConfined("threads are running already")
    libraries = [Path(prefix) / name for prefix in (sys.prefix, sys.base_prefix) for name in ("lib", "lib64")]
    libraries += [
        Path(one) for one in os.environ.get("LD_LIBRARY_PATH", "").split(":") if one.startswith("/")
    ]
    restrict_files(
        readable=[*libraries, *map(Path, _SYSTEM), _PRODUCT / "inference", *readable],
        writable=[Path(os.devnull), *writable],
        listable=[_PRODUCT],
    )
    refuse_calls()


def leave_network() -> bool:
    """Move this process to a new, empty network namespace without even a loopback; False if the kernel refuses.

    Call it before the first thread starts. Open sockets, device nodes and sockets in the file system still work.
    Containers often forbid this; the child's other limits must then suffice.
    """
    try:
        unshare = ctypes.CDLL(None).unshare
    except (AttributeError, TypeError):  # not Linux
        return False
    # A process that may not create a network namespace needs a new user namespace too, in which it has no user name.
    return bool(unshare(_NEW_NETWORK) == 0 or unshare(_NEW_USER | _NEW_NETWORK) == 0)


def die_with(parent: int) -> None:
    with suppress(OSError, AttributeError):  # Linux only; elsewhere the CPU limit ends an orphaned child
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent died before the signal was set up
        os._exit(1)


def limit_resources(
    *, cpu_s: float, memory_bytes: int | None, open_files: int = 64, file_bytes: int = 0
) -> None:
    """Limit resources to what loading a file needs.

    `memory_bytes`: of addresses, on top of those used already; none: whoever started this process watches its memory.
    """
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: file_bytes,
        resource.RLIMIT_CPU: math.ceil(cpu_s) + 1,
        resource.RLIMIT_NOFILE: open_files,
    }
    if memory_bytes is not None:
        limits[resource.RLIMIT_AS] = process_memory()[0] + memory_bytes
    for name, limit in limits.items():
        hard = resource.getrlimit(name)[1]
        value = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(name, (value, value))


def take_stdout() -> int:
    """Keep the pipe for the report and redirect all other output to /dev/null: native code may print anything."""
    report = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    return report
