"""How many threads one session may use, so that all together ask for no more cores than there are."""

import os
from pathlib import Path

_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def available_cores() -> int:
    """Count the cores this process may use: its affinity, cut by the container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _CPU_MAX.read_text().split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # no cgroup v2, or "max": no quota
        return cores


def threads_per_session(*, cores: int, engines: int = 1, at_once: int = 1, asked: int = 0) -> int:
    """Share `cores` between the engines of the machine and the sessions one engine runs at once.

    A version may ask for fewer threads than its share, never for more: two sessions that each spread over
    all cores are slower together than one after the other.
    """
    share = max(1, cores // max(1, engines) // max(1, at_once))
    return min(asked, share) if asked > 0 else share
