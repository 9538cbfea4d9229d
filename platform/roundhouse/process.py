"""Processes: how one is started so that it never outlives the one that started it."""

import ctypes
import gc
import os
import signal
import sys

from roundhouse.env import ROOT

_PR_SET_PDEATHSIG = 1
# Not a setting: an entry point tells the processes it becomes which process they belong to.
_MAIN_PID = "_RH_MAIN_PID"


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel end this process when its parent ends.

    SIGKILL and not SIGTERM: a child that ends gracefully would go on answering beside its successor.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have gone before the line above.
    if os.getppid() != parent_pid:
        os._exit(1)


def become(module: str, *arguments: str) -> None:
    """Replace this process by `python -m module`, which finds our packages on its path."""
    environ = child_environment()
    environ[_MAIN_PID] = str(os.getpid())
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, "-m", module, *arguments], environ)  # noqa: S606


def follow_main() -> None:
    """End with the process that `become` made, when called in a fork of it."""
    main_pid = int(os.environ.get(_MAIN_PID, "0"))
    if main_pid and main_pid != os.getpid():
        die_with_parent(main_pid)
        # Until the server installs its own handlers, the fork has those of its parent, which would swallow the signal.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def spare_collector() -> None:
    """Call it when a process has started: what is there now stays, and is not looked through again.

    A full collection walks all of Django, some hundred thousand objects, while every request waits for it.
    """
    gc.collect()
    gc.freeze()


def child_environment() -> dict[str, str]:
    """This environment, with our packages on Python's path."""
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
    become(*sys.argv[2:])
