"""The engine's threads: how many a session gets, which ones run batches, and how they yield to more urgent work."""

import ctypes
import os
import struct
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")
_IDLE_S = 30.0  # after this long without work, a thread ends
_LOWER, LOWEST = 5, 19  # niceness
# Linux lets even the least important thread finish its time slice, a millisecond or more, before a thread that wakes up
# gets the core. It compares slices by weight, and each step of niceness weighs a quarter more; longer slices are felt.
_SLICE_NS, _LONGEST_SLICE_NS, _STEP = 100_000, 400_000, 1.25
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}  # the C library has no function for it
# Judge a thread once it could have run for a second: a thread that got less than a quarter of that is starved.
_RUNNABLE_NS, _STARVED_SHARE = 1_000_000_000, 1 / 4


def available_cores() -> int:
    """Count the cores this process may use: its affinity, limited by the container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _CPU_MAX.read_text().split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # no cgroup v2, or "max": no quota
        return cores


def threads_per_session(*, cores: int, engines: int = 1, at_once: int = 1, asked: int = 0) -> int:
    """Divide `cores` between the machine's engines and the sessions that one engine runs at once.

    A version may set fewer threads than its share, but not more: two sessions that each use all cores are
    slower together than one after the other.
    """
    share = max(1, cores // max(1, engines) // max(1, at_once))
    return min(asked, share) if asked > 0 else share


def unpin_thread() -> None:
    """Let this thread, and threads that it starts, use all cores, even if the thread that started it is pinned to one."""
    with suppress(AttributeError, OSError):
        os.sched_setaffinity(0, os.sched_getaffinity(os.getpid()))


class Runners:
    """Threads that run batches. Work goes to an idle thread, or to a new one, so that a hung run does not block others."""

    def __init__(self, name: str, *, on_start: Callable[[], None] | None = None) -> None:
        self._name, self._on_start = name, on_start
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0  # threads without work, minus work no thread has picked up yet

    def run(self, work: Callable[[], None]) -> None:
        """Call this in a thread; RuntimeError if no thread can be started. The work must not raise."""
        with self._lock:
            if self._idle:
                self._idle -= 1
            else:
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
            self._work.put(work)

    def _run(self) -> None:
        if self._on_start is not None:
            self._on_start()
        while True:
            try:
                work = self._work.get(timeout=_IDLE_S)
            except Empty:
                with self._lock:
                    if not self._idle:  # work for this thread is on its way
                        continue
                    self._idle -= 1
                    return
            work()
            del work  # do not keep a batch alive until the next one comes
            with self._lock:
                self._idle += 1


def yield_to_loop() -> None:
    """Give the calling thread a lower priority than the event loop and the threads that answer requests.

    On a machine with fewer cores than threads, a long run and the loop would otherwise take turns of several
    milliseconds. So would threads that wait for the interpreter's lock while its holder has no core.
    """
    if Path("/proc/self/task").exists():
        _set_niceness(_LOWER)


def yield_often() -> None:
    """Like `yield_to_loop`, for work without pauses: on kernels that respect it, each turn on a core is also short."""
    if Path("/proc/self/task").exists():
        _set_niceness(_LOWER)
        _shorten_time_slice(_LOWER)


def lower_priority(niceness: int = LOWEST) -> None:
    """Let this thread, and the threads it starts, yield to others. At the lowest priority they use only idle time.

    Where Linux groups processes by session, priorities only count within a group, so lower the priority of the whole
    group. Does nothing on other systems.
    """
    autogroup = Path("/proc/self/autogroup")
    if not autogroup.parent.exists():
        return
    _set_niceness(niceness)
    with suppress(OSError):
        if Path("/proc/sys/kernel/sched_autogroup_enabled").read_text().strip() == "1":
            autogroup.write_text(str(niceness))
    _shorten_time_slice(niceness)


def _set_niceness(niceness: int) -> None:
    """Set it for this thread only. This requires Linux."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)


def _shorten_time_slice(niceness: int) -> None:
    """Kernels from 6.12 on respect the slice length; older ones only the priority."""
    slice_ns = min(_LONGEST_SLICE_NS, int(_SLICE_NS * _STEP ** (LOWEST - niceness)))
    number = _SCHED_SETATTR.get(os.uname().machine)
    if number is not None:
        # size, policy (other), flags, nice, priority, runtime, deadline, period; for thread 0, which is this one
        attributes = struct.pack("IIQiIQQQ", 48, 0, 0, niceness, 0, slice_ns, 0, 0)
        ctypes.CDLL(None).syscall(number, 0, attributes, 0)


@dataclass(slots=True)
class _PinnedThread:
    core: int
    ran_ns: int
    waited_ns: int


class Cores:
    """Pins busy threads to one core each, to different cores as long as there are enough.

    Linux moves a busy thread to any core that is idle for a moment. Whatever wakes up there next has to wait, however
    low the busy thread's priority: live requests took 50 % longer.
    """

    def __init__(self) -> None:
        self._pinned: dict[int, _PinnedThread] = {}
        self._lock = threading.Lock()
        is_supported = hasattr(os, "sched_getaffinity") and Path("/proc/self/schedstat").exists()
        self._cores = sorted(os.sched_getaffinity(os.getpid())) if is_supported else []

    def pin_thread(self) -> None:
        """Keep the calling thread on one core from now on. Does nothing with a single core, or if not on Linux."""
        if len(self._cores) < 2:
            return
        thread = threading.get_native_id()
        with self._lock, suppress(OSError):
            self._pin(thread, self._freest_core())

    def rebalance(self) -> None:
        """Move threads that hardly get to run. Call it from time to time, from any thread."""
        with self._lock:
            for thread, pinned in list(self._pinned.items()):
                try:
                    ran_ns, waited_ns = _schedule_times(thread)
                    ran, waited = ran_ns - pinned.ran_ns, waited_ns - pinned.waited_ns
                    if ran + waited < _RUNNABLE_NS:
                        continue
                    is_starved = ran < _STARVED_SHARE * (ran + waited)
                    self._pin(thread, self._freest_core(but=pinned.core) if is_starved else pinned.core)
                except OSError:  # the thread has ended
                    del self._pinned[thread]

    def _pin(self, thread: int, core: int) -> None:
        os.sched_setaffinity(thread, {core})
        self._pinned[thread] = _PinnedThread(core, *_schedule_times(thread))

    def _freest_core(self, *, but: int | None = None) -> int:
        """The core with the fewest of our threads; the last of those, because the first often handles interrupts."""
        ours = Counter(pinned.core for pinned in self._pinned.values())
        return min((core for core in self._cores if core != but), key=lambda core: (ours[core], -core))


def _schedule_times(thread: int) -> tuple[int, int]:
    """How long a thread of this process ran, and how long it waited for a core."""
    ran_ns, waited_ns, _ = Path(f"/proc/self/task/{thread}/schedstat").read_text().split()
    return int(ran_ns), int(waited_ns)


class LowPriority(Cores):
    """Low-priority threads of one kind, each pinned to a core."""

    def __init__(self, niceness: int = LOWEST) -> None:
        super().__init__()
        self._niceness = niceness

    def enter(self) -> None:
        """Make the calling thread one of these."""
        lower_priority(self._niceness)
        self.pin_thread()
