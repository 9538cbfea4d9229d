"""One thread budget for a process: shares, wishes, containers."""

import os

import pytest

from inference.engine import threads
from inference.engine.threads import available_cores, threads_per_session

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
