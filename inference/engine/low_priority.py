"""Threads that let everything else on this machine go first."""

import ctypes
import os
import struct
import threading
from contextlib import suppress
from pathlib import Path

from inference.engine.cores import Cores

_LOWER, _LOWEST = 5, 19
# Linux lets even the least important thread end its turn, of a millisecond or more, before one that wakes up gets the core.
_TURN_NS = 100_000
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}  # the C library has no function for it


class LowPriority:
    """Threads of one kind, each kept on one core, apart from the others of its kind while there are enough."""

    def __init__(self) -> None:
        self._cores = Cores()

    def enter(self) -> None:
        """Make the calling thread one of these."""
        step_back()
        self._cores.settle()

    def look_after(self) -> None:
        """Move those that hardly get to run; from time to time, from anywhere."""
        self._cores.look_after()


def let_loop_go_first() -> None:
    """Have the calling thread wait for the loop and those who answer, where there are fewer cores than threads.

    A long run and the loop would otherwise take turns of some milliseconds, and so would whoever waits for the
    interpreter's lock while the one that holds it has no core.
    """
    if Path("/proc/self/task").exists():
        _set_niceness(_LOWER)


def step_back() -> None:
    """Give this thread, and those that it starts, what processor time the rest of the machine leaves, in short turns.

    Where Linux groups processes by their session, threads are only weighed against others of the same group: then
    the group steps back as a whole. Elsewhere than on Linux nothing happens.
    """
    autogroup = Path("/proc/self/autogroup")
    if not autogroup.parent.exists():
        return
    _set_niceness(_LOWEST)
    with suppress(OSError):
        if _is_grouped():
            autogroup.write_text(str(_LOWEST))
    _take_short_turns()


def _set_niceness(niceness: int) -> None:
    """Of this thread alone, which only Linux can."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)


def _is_grouped() -> bool:
    """Whether the kernel groups by session."""
    return Path("/proc/sys/kernel/sched_autogroup_enabled").read_text().strip() == "1"


def _take_short_turns() -> None:
    """Kernels from 6.12 on heed the length of a turn; older ones take note of the priority only."""
    number = _SCHED_SETATTR.get(os.uname().machine)
    if number is not None:
        # size, policy (other), flags, nice, priority, runtime, deadline, period; for thread 0, which is this one
        attributes = struct.pack("IIQiIQQQ", 48, 0, 0, _LOWEST, 0, _TURN_NS, 0, 0)
        ctypes.CDLL(None).syscall(number, 0, attributes, 0)
