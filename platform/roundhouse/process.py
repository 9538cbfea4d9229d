"""How a process starts another one, so that no child outlives its parent."""

import ctypes
import gc
import os
import signal
import sys

from roundhouse.env import ROOT

_PR_SET_PDEATHSIG = 1
# Not a setting: exec_module sets it, so that the new program and its forks know which process is the main one.
_MAIN_PID = "_RH_MAIN_PID"


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel end this process when its parent ends.

    SIGKILL, not SIGTERM: a child that shuts down gracefully would keep answering alongside its successor.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have ended before the line above.
    if os.getppid() != parent_pid:
        os._exit(1)


def exec_module(module: str, *arguments: str) -> None:
    """Replace this process with `python -m module`, with our packages on its path."""
    environ = child_environment()
    environ[_MAIN_PID] = str(os.getpid())
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, "-m", module, *arguments], environ)  # noqa: S606


def die_with_main_process() -> None:
    """In a fork of a process that `exec_module` started: end when that process ends."""
    main_pid = int(os.environ.get(_MAIN_PID, "0"))
    if main_pid and main_pid != os.getpid():
        die_with_parent(main_pid)
        # Until the server installs its own handlers, the fork has its parent's, which would swallow the signal.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def freeze_heap() -> None:
    """Exclude everything loaded so far from garbage collection. Call it once a process has started.

    A full collection walks all of Django, several hundred thousand objects, while every request waits for it.
    """
    gc.collect()
    gc.freeze()


def child_environment() -> dict[str, str]:
    """This process's environment, with our packages on Python's path."""
    paths = [str(ROOT / "platform"), str(ROOT)]
    inherited = [
        path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path not in paths
    ]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*paths, *inherited]),
        "DJANGO_SETTINGS_MODULE": os.environ.get("DJANGO_SETTINGS_MODULE", "roundhouse.settings"),
    }


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))  # survives the exec
    exec_module(*sys.argv[2:])
