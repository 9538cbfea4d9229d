"""Threads for jobs stay on one core each, and leave one that has no time for them."""

import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from inference.engine.cores import Cores
from tests.support.processes import wait_until

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="there is one core, or no Linux",
)
PATIENCE_S = 30
# Starts at its place, far before any thread that steps back.
GREEDY = (
    "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])}); print('here', flush=True)\nwhile True: pass"
)


class Busy(threading.Thread):
    """Settles, tells where it may run, and runs."""

    def __init__(self, cores):
        super().__init__(daemon=True)
        self._cores, self._is_over = cores, threading.Event()
        self.has_settled = threading.Event()

    def where(self):
        return os.sched_getaffinity(self.native_id)

    def run(self):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        self._cores.settle()
        self.has_settled.set()
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
        assert thread.has_settled.wait(PATIENCE_S)
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


def test_each_thread_has_a_core_of_its_own_while_there_are_enough():
    everywhere = os.sched_getaffinity(0)

    with busy(Cores(), len(everywhere) + 1) as threads:
        places = [thread.where() for thread in threads]

    assert all(len(place) == 1 for place in places)
    assert set.union(*places[:-1]) == everywhere
    assert os.sched_getaffinity(0) == everywhere  # who settles binds nobody else


def test_thread_leaves_a_core_that_has_no_time_for_it():
    cores = Cores()
    with busy(cores) as [thread]:
        (first,) = thread.where()
        with greedy(first):

            def has_moved():
                cores.look_after()
                return thread.where() != {first}

            wait_until(has_moved, within_s=PATIENCE_S, what="another core")
            assert len(thread.where()) == 1


@pytest.mark.parametrize(
    ("ran_ms", "waited_ms", "leaves"),
    [(300, 700, False), (200, 700, False), (200, 900, True), (0, 1_000, True), (5_000, 14_000, False)],
)
def test_thread_leaves_for_less_than_a_quarter_of_the_time(monkeypatch, ran_ms, waited_ms, leaves):
    told = {"ran": 0, "waited": 0}
    monkeypatch.setattr("inference.engine.cores._so_far", lambda thread: tuple(told.values()))
    cores = Cores()
    with busy(cores) as [thread]:
        first = thread.where()
        told.update(ran=ran_ms * 10**6, waited=waited_ms * 10**6)
        cores.look_after()

        assert (thread.where() != first) is leaves


@pytest.mark.parametrize("looks", [True, False], ids=["looked after", "control"])
def test_core_of_a_thread_that_has_ended_is_free_again(looks):
    cores = Cores()
    with busy(cores) as [thread]:
        place = thread.where()
    gone = Path(f"/proc/self/task/{thread.native_id}")  # a while after it was joined
    wait_until(lambda: not gone.exists(), within_s=PATIENCE_S, what="its end")
    if looks:
        cores.look_after()

    with busy(cores) as [thread]:
        assert (thread.where() == place) is looks
