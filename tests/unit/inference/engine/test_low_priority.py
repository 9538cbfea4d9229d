"""Threads for jobs step back, and what they start steps back with them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/autogroup").parent.exists(), reason="threads have no priority of their own here"
)
SCHED = Path("/proc/self/sched")

CHILD = """
import os, sys, threading
from inference.engine.low_priority import step_back

def niceness():
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

def turn_ns():
    text = open(f"/proc/self/task/{threading.get_native_id()}/sched").read()
    return int(text.partition("se.slice")[2].split()[1])

look = {"niceness": niceness, "turn_ns": turn_ns}[sys.argv[1]]
told = []

def work():
    step_back()
    told.append(look())
    helper = threading.Thread(target=lambda: told.append(look()))
    helper.start()
    helper.join()

thread = threading.Thread(target=work)
thread.start()
thread.join()
print(*told, look())
"""


def seen(what):
    """As a thread for jobs has it, a thread that it started, and the process's first thread."""
    told = subprocess.run(
        [sys.executable, "-c", CHILD, what], cwd=ROOT, check=True, capture_output=True, text=True, start_new_session=True
    ).stdout  # fmt: skip
    return list(map(int, told.split()))


def test_thread_and_those_it_starts_step_back_and_nobody_else():
    assert seen("niceness") == [19, 19, os.getpriority(os.PRIO_PROCESS, 0)]


@pytest.mark.skipif(
    not SCHED.exists() or "se.slice" not in SCHED.read_text(),
    reason="this kernel does not tell how long a turn is",
)
def test_turns_are_short_where_the_kernel_says_how_long_they_are():
    mine, inherited, main = seen("turn_ns")

    assert mine == inherited == 100_000
    assert main > mine
