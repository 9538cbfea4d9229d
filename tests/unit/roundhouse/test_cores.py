"""Web processes on cores of their own, tried in processes of their own."""

import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager

import pytest

from tests.support.processes import ROOT, clean_environment

CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
pytestmark = pytest.mark.skipif(len(CORES) < 2, reason="needs two cores")
SETTLE = """
import os, sys
from pathlib import Path
from roundhouse.cores import settle_on_core
os.sched_setaffinity(0, eval(sys.argv[3]))
print(settle_on_core(Path(sys.argv[1]), int(sys.argv[2])), sorted(os.sched_getaffinity(0)), flush=True)
sys.stdin.read()
"""


@contextmanager
def settled(folder, processes, cores):
    """A process that settles and stays; yields its core, and the cores that it may use."""
    command = [sys.executable, "-c", SETTLE, str(folder), str(processes), repr(set(cores))]
    environ = {**clean_environment(), "PYTHONPATH": str(ROOT / "platform")}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ
    ) as process:
        core, _, allowed = process.stdout.readline().partition(" ")
        yield eval(core), eval(allowed)
        process.kill()


def test_processes_settle_on_different_cores_and_the_next_has_none_left(tmp_path):
    two = CORES[:2]
    with ExitStack() as siblings:
        found = [siblings.enter_context(settled(tmp_path, 3, two)) for _ in range(3)]

    assert sorted(core for core, _ in found[:2]) == two
    assert all(allowed == [core] for core, allowed in found[:2])
    assert found[2] == (None, two)


def test_a_core_is_free_again_when_its_process_has_been_killed(tmp_path):
    two = CORES[:2]
    with settled(tmp_path, 2, two) as (first, _):
        pass
    with settled(tmp_path, 2, two) as (second, _):
        assert second == first


@pytest.mark.parametrize(("processes", "cores"), [(1, CORES[:2]), (4, CORES[:1])], ids=["spare", "single"])
def test_elsewhere_the_kernel_chooses(tmp_path, processes, cores):
    with settled(tmp_path, processes, cores) as found:
        assert found == (None, cores)
