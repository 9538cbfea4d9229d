"""What a process leaves behind when it ends, read from another one."""

import subprocess
import sys
import textwrap

import pytest

from inference.engine import crash_notes
from inference.engine.backends import SessionOptions
from inference.engine.crash_notes import CrashNotes, NotedBackend, ended_processes
from inference.engine.fake import FakeBackend
from tests.support.onnx_models import quotient
from tests.support.processes import ROOT

_BEFORE = """
import os, signal, sys, threading, time
from pathlib import Path
import numpy as np
from inference.engine.backends import SessionOptions
from inference.engine.crash_notes import CrashNotes, NotedBackend
from inference.engine.onnx_backend import OnnxBackend
notes = CrashNotes(Path(sys.argv[1]), "web")

def load(label):
    options = SessionOptions(label=label)
    return NotedBackend(OnnxBackend(), notes).load(Path(sys.argv[2]), options)

def crash(session):
    session.run({"a": np.array([[-2**63]]), "b": np.array([[-1]])})

def run_beside(label):
    "Hold a version in a run, on a thread of its own."
    started, hold = threading.Event(), threading.Event()
    def run():
        with notes.running(label):
            started.set()
            hold.wait()
    threading.Thread(target=run, daemon=True).start()
    started.wait()
"""


@pytest.fixture
def ended(tmp_path):
    """Run lines in a process of their own, and give what it left."""
    model = quotient(tmp_path / "model.onnx")

    def run(lines, status):
        code = textwrap.dedent(_BEFORE) + textwrap.dedent(lines)
        done = subprocess.run(
            [sys.executable, "-c", code, tmp_path / "crashes", model],
            cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        return [one.crash for one in ended_processes(tmp_path / "crashes")]

    return run


def test_the_version_on_the_thread_that_crashed_is_blamed_and_no_other(ended):
    (crash,) = ended("run_beside(5); run_beside(7); crash(load(6))", -8)

    assert (crash.signal, crash.blamed, crash.running, crash.process) == ("SIGFPE", 6, (5, 6, 7), "web")
    assert "Floating point exception" in crash.text


def test_a_crash_of_a_thread_that_runs_nothing_blames_no_version(ended):
    (crash,) = ended("load(6).run({'a': np.array([[1]]), 'b': np.array([[1]])}); os.abort()", -6)

    assert (crash.signal, crash.blamed, crash.running) == ("SIGABRT", 0, ())


_ON_A_THREAD_OF_THE_RUNTIME = """
import ctypes
def crash_natively():
    "On a thread that Python knows nothing of, as those of the runtime are."
    libc = ctypes.CDLL(None)
    thread = ctypes.c_ulong()
    entry = ctypes.cast(libc.abort, ctypes.c_void_p)
    libc.pthread_create(ctypes.byref(thread), None, entry, None)
    time.sleep(60)
"""


@pytest.mark.parametrize(("beside", "blamed"), [("", 6), ("run_beside(7)", 0), ("run_beside(6)", 0)])
def test_a_thread_of_the_runtime_is_the_only_versions_that_runs(ended, beside, blamed):
    lines = _ON_A_THREAD_OF_THE_RUNTIME + f"\n{beside}\nwith notes.running(6): crash_natively()"

    (crash,) = ended(lines, -6)

    assert (crash.signal, crash.blamed) == ("SIGABRT", blamed)


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", -9),
        ("os._exit(70)", 70),
        ("raise MemoryError", 1),
        ("os.kill(os.getpid(), signal.SIGTERM)", -15),
    ],
    ids=["killed", "our own exit", "an error", "stopped"],
)
def test_other_ends_blame_no_version(ended, end, status):
    assert ended(f"with notes.running(6): {end}", status) == [None]


def test_running_out_of_memory_blames_no_version(ended):
    lines = """
    import resource
    session = load(6)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = size + (256 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    hoard = []
    with notes.running(6):
        while True:
            hoard.append(bytearray(64 << 20))
    """

    assert ended(lines, 1) == [None]


def test_a_process_that_lives_is_left_alone(tmp_path):
    notes = CrashNotes(tmp_path, "web")
    try:
        assert list(ended_processes(tmp_path)) == []
        assert notes.path.exists()
    finally:
        notes.close()
    assert list(tmp_path.iterdir()) == []


def test_notes_are_deleted_only_by_forget(ended, tmp_path):
    ended("crash(load(6))", -8)
    (first,) = ended_processes(tmp_path / "crashes")
    (again,) = ended_processes(tmp_path / "crashes")

    again.forget()

    assert first.name == again.name
    assert list(ended_processes(tmp_path / "crashes")) == []


def test_two_who_look_at_once_do_not_read_the_same(ended, tmp_path):
    ended("crash(load(6))", -8)
    first = ended_processes(tmp_path / "crashes")

    read = next(first)

    assert list(ended_processes(tmp_path / "crashes")) == []
    assert read.crash.blamed == 6


def test_threads_without_a_slot_name_no_version(tmp_path, monkeypatch):
    notes = CrashNotes(tmp_path, "web")
    try:
        notes._free.clear()
        with notes.running(9):
            slots = notes._slots.tolist()
        assert [slot for slot in slots if slot] == [9]
        assert slots[-2:] == [0, 9]
    finally:
        notes.close()


def test_a_noted_backend_answers_as_the_one_in_it(tmp_path):
    notes = CrashNotes(tmp_path, "web")
    try:
        backend = NotedBackend(FakeBackend(), notes)
        session = backend.load(tmp_path / "any", SessionOptions(label=3))
        seen = []
        session._session.model.on_run = lambda rows: seen.append(notes._slots[notes.slot_index()])

        session.shrink({"x": [[1.0]]})
        answer = session.run({"x": [[1.0]]})

        assert (seen, answer["y"].tolist(), notes._slots[notes.slot_index()]) == ([3, 3], [[2.0]], 0)
        assert (backend.name, backend.runtime_version()) == ("fake", "fake-1")
    finally:
        notes.close()


def test_a_thread_that_has_ended_gives_its_place_back(tmp_path):
    import threading

    notes = CrashNotes(tmp_path, "web")
    try:
        before = len(notes._free)
        for _ in range(3):
            thread = threading.Thread(target=lambda: notes.slot_index())
            thread.start()
            thread.join()
        assert len(notes._free) == before
        assert before == crash_notes._LAST
    finally:
        notes.close()
