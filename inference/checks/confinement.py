"""How a disposable child confines itself before it loads a file: no network, few resources, killed with its parent."""

import ctypes
import math
import os
import resource
import signal
from contextlib import suppress
from typing import Any

from inference.engine.memory import process_memory

_NEW_USER, _NEW_NETWORK = 0x1000_0000, 0x4000_0000
_PR_SET_PDEATHSIG = 1


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


def limit_resources(config: dict[str, Any]) -> None:
    """Limit resources to what loading a file needs. The memory limit is on top of what the runtime uses already."""
    seconds = math.ceil(config["time_limit_s"] * max(1, config["options"]["intra_op_threads"])) + 1
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_NOFILE: 64 if config["is_cpu_only"] else 1024,
    }
    if config[
        "is_cpu_only"
    ]:  # CUDA maps far more addresses than it uses, so with CUDA the parent watches memory
        limits[resource.RLIMIT_AS] = process_memory()[0] + config["memory_limit_bytes"]
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
