"""Threads: their number, batch threads, low priority, one core for each."""

import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from inference.engine import threads
from inference.engine.threads import Cores, available_cores, threads_per_session
from tests.support.processes import ROOT, wait_until

SHARES = {  # cores, engines, sessions at once, threads asked for; threads given
    "all": (8, 1, 1, 0, 8),
    "shared": (8, 2, 2, 0, 2),
    "asks for less": (8, 2, 2, 1, 1),
    "asks for more": (8, 2, 2, 8, 2),
    "fewer cores than engines": (2, 4, 1, 0, 1),
    "no engines told": (8, 0, 0, 0, 8),
}


@pytest.mark.parametrize(("cores", "engines", "at_once", "asked", "given"), SHARES.values(), ids=SHARES)
def test_sessions_that_run_at_once_never_ask_for_more_cores_than_there_are(
    cores, engines, at_once, asked, given
):
    assert threads_per_session(cores=cores, engines=engines, at_once=at_once, asked=asked) == given


@pytest.mark.parametrize(
    ("content", "cores"),
    [("max 100000", 8), ("250000 100000", 2), ("50000 100000", 1), ("1600000 100000", 8)],
)
def test_a_containers_quota_counts(tmp_path, monkeypatch, content, cores):
    quota = tmp_path / "cpu.max"
    quota.write_text(content)
    monkeypatch.setattr(threads, "_CPU_MAX", quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))

    assert available_cores() == cores


def test_without_a_quota_the_affinity_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(threads, "_CPU_MAX", tmp_path / "nowhere")

    assert available_cores() == len(os.sched_getaffinity(0))


needs_priorities = pytest.mark.skipif(
    not Path("/proc/self/autogroup").parent.exists(), reason="threads have no priority of their own here"
)
SCHED = Path("/proc/self/sched")

CHILD = """
import os, sys, threading
from inference.engine.threads import lower_priority

def niceness():
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

def turn_ns():
    text = open(f"/proc/self/task/{threading.get_native_id()}/sched").read()
    return int(text.partition("se.slice")[2].split()[1])

look = {"niceness": niceness, "turn_ns": turn_ns}[sys.argv[1]]
told = []

def work():
    lower_priority(int(sys.argv[2]))
    told.append(look())
    helper = threading.Thread(target=lambda: told.append(look()))
    helper.start()
    helper.join()

thread = threading.Thread(target=work)
thread.start()
thread.join()
print(*told, look())
"""


def seen(what, niceness=19):
    """As a thread for jobs has it, a thread that it started, and the process's first thread."""
    told = subprocess.run(
        [sys.executable, "-c", CHILD, what, str(niceness)],
        cwd=ROOT, check=True, capture_output=True, text=True, start_new_session=True,
    ).stdout  # fmt: skip
    return list(map(int, told.split()))


@needs_priorities
@pytest.mark.parametrize("niceness", [10, 19])
def test_thread_and_those_it_starts_have_low_priority_and_no_others(niceness):
    assert seen("niceness", niceness) == [niceness, niceness, os.getpriority(os.PRIO_PROCESS, 0)]


@needs_priorities
@pytest.mark.skipif(
    not SCHED.exists() or "se.slice" not in SCHED.read_text(),
    reason="this kernel does not tell how long a turn is",
)
@pytest.mark.parametrize(("niceness", "ns"), [(10, 400_000), (16, 195_312), (19, 100_000)])
def test_turns_are_short_where_the_kernel_says_how_long_they_are(niceness, ns):
    mine, inherited, main = seen("turn_ns", niceness)

    assert mine == inherited == ns
    assert main > mine


needs_cores = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="there is one core, or no Linux",
)
PATIENCE_S = 30
# Starts at its place, far before any low-priority thread.
GREEDY = (
    "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])}); print('here', flush=True)\nwhile True: pass"
)


class Busy(threading.Thread):
    """Pins itself, and runs."""

    def __init__(self, cores):
        super().__init__(daemon=True)
        self._cores, self._is_over = cores, threading.Event()
        self.is_pinned = threading.Event()

    def where(self):
        return os.sched_getaffinity(self.native_id)

    def run(self):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        self._cores.pin_thread()
        self.is_pinned.set()
        while not self._is_over.is_set():
            sum(range(1000))

    def end(self):
        self._is_over.set()
        self.join(PATIENCE_S)


@contextmanager
def busy(cores, count=1):
    threads = [Busy(cores) for _ in range(count)]
    for thread in threads:
        thread.start()
        assert thread.is_pinned.wait(PATIENCE_S)
    try:
        yield threads
    finally:
        for thread in threads:
            thread.end()


@contextmanager
def greedy(core):
    with subprocess.Popen(
        [sys.executable, "-c", GREEDY, str(core)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "here\n"
            yield
        finally:
            process.kill()


@needs_cores
def test_each_thread_has_a_core_of_its_own_while_there_are_enough():
    everywhere = os.sched_getaffinity(0)

    with busy(Cores(), len(everywhere) + 1) as threads:
        places = [thread.where() for thread in threads]

    assert all(len(place) == 1 for place in places)
    assert set.union(*places[:-1]) == everywhere
    assert os.sched_getaffinity(0) == everywhere  # pinning a thread binds no other


@needs_cores
def test_thread_leaves_a_core_that_has_no_time_for_it():
    cores = Cores()
    with busy(cores) as [thread]:
        (first,) = thread.where()
        with greedy(first):

            def has_moved():
                cores.rebalance()
                return thread.where() != {first}

            wait_until(has_moved, within_s=PATIENCE_S, what="another core")
            assert len(thread.where()) == 1


@needs_cores
@pytest.mark.parametrize(
    ("ran_ms", "waited_ms", "leaves"),
    [(300, 700, False), (200, 700, False), (200, 900, True), (0, 1_000, True), (5_000, 14_000, False)],
)
def test_thread_leaves_for_less_than_a_quarter_of_the_time(monkeypatch, ran_ms, waited_ms, leaves):
    told = {"ran": 0, "waited": 0}
    monkeypatch.setattr("inference.engine.threads._schedule_times", lambda thread: tuple(told.values()))
    cores = Cores()
    with busy(cores) as [thread]:
        first = thread.where()
        told.update(ran=ran_ms * 10**6, waited=waited_ms * 10**6)
        cores.rebalance()

        assert (thread.where() != first) is leaves


@needs_cores
@pytest.mark.parametrize("looks", [True, False], ids=["looked after", "control"])
def test_core_of_a_thread_that_has_ended_is_free_again(looks):
    cores = Cores()
    with busy(cores) as [thread]:
        place = thread.where()
    gone = Path(f"/proc/self/task/{thread.native_id}")  # a while after it was joined
    wait_until(lambda: not gone.exists(), within_s=PATIENCE_S, what="its end")
    if looks:
        cores.rebalance()

    with busy(cores) as [thread]:
        assert (thread.where() == place) is looks
