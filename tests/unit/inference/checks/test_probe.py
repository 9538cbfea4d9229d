"""The probe: whatever a file does, the parent gets a coded sentence in time, and nothing is left of the child."""

import hashlib
import os
import resource
import select
import signal
import subprocess
import sys
import time
from ast import literal_eval
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from inference.checks import probe as probing
from inference.checks.probe import KnownInputs, probe
from inference.confinement import parent
from inference.engine.backends import ProbeFact, SessionOptions
from inference.tensors.samples import Sample
from tests.support import onnx_models
from tests.support.processes import ROOT, product_environment

OPTIONS = SessionOptions()
MIB = 1 << 20
LONG_S = 30.0


def probe_with(backend, path, **more):
    return probe(path, OPTIONS, backend=f"tests.support.hostile:{backend}", **more)


@pytest.fixture
def any_file(tmp_path):
    path = tmp_path / "any"
    path.write_bytes(b"any")
    return path


def test_a_good_file_passes_with_its_signature_and_fact(tmp_path):
    path = onnx_models.scaled(tmp_path / "m.onnx", 2.0)

    result = probe(path, OPTIONS)

    assert (result.code, result.fact is not None) == ("passed", True)
    assert [spec.name for spec in result.signature.inputs] == ["x", "factor"]
    assert result.fact == ProbeFact(
        hashlib.sha256(path.read_bytes()).hexdigest(),
        result.runtime_version,
        "CPUExecutionProvider",
        OPTIONS.digest,
    )
    assert result.load_s > 0 and result.run_s > 0 and result.peak_rss_bytes > MIB


class TestExtremes:
    """After it runs, a file is run on whole numbers at their ends: only a crash of the runtime counts."""

    def test_a_division_that_ends_the_process_is_refused_with_the_values(self, tmp_path):
        result = probe(onnx_models.quotient(tmp_path / "m.onnx"), OPTIONS)

        assert (result.code, result.fact is not None) == ("crashed_signal", False)
        assert (
            "(SIGFPE) with 'a' = -9223372036854775808, 'b' = -1, which any caller may send" in result.message
        )

    def test_without_them_it_would_pass(self, tmp_path, monkeypatch):
        monkeypatch.setattr(probing, "_CRASHES", set())

        assert probe(onnx_models.quotient(tmp_path / "m.onnx"), OPTIONS).code == "passed"

    @pytest.mark.parametrize(
        "backend", ["HungryAtExtremes", "SlowAtExtremes", "KilledAtExtremes", "ExitingAtExtremes"]
    )
    def test_memory_time_and_other_ends_count_for_nothing(self, any_file, backend, monkeypatch):
        monkeypatch.setattr(probing, "_EXTREMES_S", 1.0)

        result = probe_with(backend, any_file, memory_limit_bytes=200 * MIB)

        assert (result.code, result.fact is not None) == ("passed", True)

    def test_what_the_runtime_refuses_counts_for_nothing(self, tmp_path):
        """A whole number that names a place, of which most are not there."""
        result = probe(onnx_models.picked(tmp_path / "m.onnx"), OPTIONS)

        assert result.code == "passed"


class TestWhatItRunsOn:
    """A file that takes the seventh number of a row: it runs on 8 numbers or more."""

    @pytest.fixture
    def long_rows(self, tmp_path):
        return onnx_models.seventh(tmp_path / "m.onnx")

    def test_sizes_are_found_by_trying_and_told(self, long_rows):
        result = probe(long_rows, OPTIONS)

        assert (result.code, result.source, result.tries) == ("passed", "made up", 3)
        assert result.sample == Sample({"x": (1, 8)})

    def test_given_shapes_are_used(self, long_rows):
        result = probe(long_rows, OPTIONS, KnownInputs(shapes={"x": [1, 30]}))

        assert (result.source, result.sample.shapes) == ("given shapes", {"x": (1, 30)})

    def test_given_shapes_that_fail_are_refused_with_their_run(self, long_rows):
        result = probe(long_rows, OPTIONS, KnownInputs(shapes={"x": [1, 3]}))

        assert result.code == "run_failed"
        assert "on the given sizes; give sizes" in result.message
        assert "With 'x' of 1 x 3: The model failed on this input" in result.message

    def test_examples_are_used_first_and_those_that_do_not_fit_are_left_out(self, long_rows):
        known = KnownInputs([{"y": [1]}, {"x": [[0.5] * 12]}], {"x": [1, 30]})

        result = probe(long_rows, OPTIONS, known)

        assert (result.source, result.sample.shapes) == ("examples", {"x": (1, 12)})

    def test_examples_too_large_to_hand_over_are_left_out(self, long_rows, monkeypatch):
        monkeypatch.setattr(probing, "_MAX_EXAMPLE_BYTES", 20)

        result = probe(long_rows, OPTIONS, KnownInputs([{"x": [[0.5] * 12]}]))

        assert result.source == "made up"


def test_a_silent_fall_back_to_the_cpu_is_told(tmp_path):
    path = onnx_models.identity(tmp_path / "m.onnx")

    result = probe(path, SessionOptions(providers=("NoSuchExecutionProvider", "CPUExecutionProvider")))

    assert (result.provider_asked, result.provider) == ("NoSuchExecutionProvider", "CPUExecutionProvider")


def test_garbage_is_a_failed_load(any_file):
    result = probe(any_file, OPTIONS)

    assert (result.code, result.fact, result.signature) == ("load_failed", None, None)
    assert result.message.endswith(".") and str(any_file) not in result.message


def test_a_missing_file_is_a_failed_load(tmp_path):
    assert probe(tmp_path / "nowhere", OPTIONS).code == "load_failed"


def test_bytes_that_were_not_checked_are_a_failed_load(tmp_path):
    path = onnx_models.identity(tmp_path / "m.onnx")

    result = probe(path, SessionOptions(expected_sha256="0" * 64))

    assert result.code == "load_failed" and "SHA-256" in result.message


@pytest.mark.parametrize(
    ("backend", "told"), [("Crashing", "SIGSEGV"), ("Exiting", "exit status 3"), ("Raising", "exit status 1")]
)
def test_a_crash_is_reported_with_its_signal_and_phase(any_file, backend, told):
    result = probe_with(backend, any_file)

    assert result.code == "crashed_signal"
    assert told in result.message and "while loading" in result.message


def test_an_endless_run_is_ended_at_the_time_limit(tmp_path):
    path = onnx_models.endless(tmp_path / "m.onnx")
    started = time.monotonic()

    result = probe(path, OPTIONS, time_limit_s=1.5)

    assert result.code == "timed_out"
    assert "1.5 s during its first run" in result.message
    assert time.monotonic() - started < 10


class TestMemory:
    @pytest.fixture
    def bomb(self, tmp_path):
        return onnx_models.bomb(tmp_path / "m.onnx", 400)

    def test_a_bomb_is_refused_at_the_cap_which_the_message_names(self, bomb):
        result = probe(bomb, OPTIONS, memory_limit_bytes=256 * MIB)

        assert result.code == "memory" and "256 MiB" in result.message

    def test_without_the_cap_it_would_go_off(self, bomb):
        """Negative control: the same file under a higher cap takes what it asks for."""
        result = probe(bomb, OPTIONS, memory_limit_bytes=2048 * MIB)

        assert result.code == "passed" and result.peak_rss_bytes > 400 * MIB

    @pytest.mark.parametrize("looks", [True, False], ids=["as it is", "with closed eyes"])
    def test_with_cuda_the_parent_watches_instead(self, any_file, monkeypatch, looks):
        """The negative control: it is the parent's reading that ends the child."""
        if not looks:
            monkeypatch.setattr(parent, "process_memory", lambda pid: (0, 0))
        cuda = SessionOptions(providers=("CUDAExecutionProvider",))

        result = probe(any_file, cuda, memory_limit_bytes=64 * MIB, backend="tests.support.hostile:Hungry")

        assert (result.code, "64 MiB" in result.message) == (("memory", True) if looks else ("passed", False))


def test_the_child_has_no_secrets_no_django_and_may_not_write(any_file, monkeypatch):
    monkeypatch.setenv("ROUNDHOUSE_SECRET_KEY", "secret")
    monkeypatch.setenv("LOCPATH", "/locales")

    result = probe_with("Writing", any_file)

    assert literal_eval(result.message) == {
        "fsize": 0, "core": 0, "files": 64, "secret": None, "locales": "/locales", "own_group": True, "stdin": "",
        "django": False, "folder_is_empty": True, "written": False,
    }  # fmt: skip


def test_outside_the_child_all_of_that_is_allowed(tmp_path, monkeypatch):
    """Negative control: the answers above are the child's limits, not this machine's."""
    monkeypatch.setenv("ROUNDHOUSE_SECRET_KEY", "secret")

    (tmp_path / "scratch").write_text("x")

    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 0
    assert os.environ["ROUNDHOUSE_SECRET_KEY"] == "secret"


def test_what_native_code_prints_is_no_report(any_file):
    assert probe_with("Chattering", any_file).code == "passed"


def test_it_works_from_many_threads_at_once(tmp_path):
    paths = [onnx_models.scaled(tmp_path / f"{number}.onnx", number) for number in range(4)]

    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda path: probe(path, OPTIONS), paths))

    assert [result.code for result in results] == ["passed"] * 4


PARENT = """
import sys
from pathlib import Path
from inference.checks.{} import {}
from inference.engine.backends import SessionOptions
{}(Path(sys.argv[1]), SessionOptions(expected_sha256="0" * 64), backend="tests.support.hostile:Waiting"{}
"""


@pytest.mark.parametrize(
    "start",
    [PARENT.format("probe", "probe", "probe", ", time_limit_s=600)"), PARENT.format("trial", "Trial", "Trial", ").__enter__()")],
    ids=["probe", "trial"],
)  # fmt: skip
def test_the_child_dies_with_its_parent(tmp_path, start):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    environ = product_environment(DATA=tmp_path / "data")
    parent = subprocess.Popen([sys.executable, "-c", start, str(fifo)], cwd=ROOT, env=environ)
    with fifo.open("w"):  # waits until the child opens it
        (child,) = children_of(parent.pid)
        ended = os.pidfd_open(child)

    try:
        assert select.select([ended], [], [], 0)[0] == []  # it lives as long as its parent does
        parent.kill()
        parent.wait(LONG_S)
        assert select.select([ended], [], [], LONG_S)[0] == [ended]
    finally:
        os.close(ended)


def children_of(process_id):
    tasks = Path(f"/proc/{process_id}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def test_an_orphan_would_live_on(tmp_path):
    """Negative control: the same death of a parent whose child did not ask for the signal."""
    sleeper = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],"
        " start_new_session=True, stdout=subprocess.DEVNULL); print(p.pid, flush=True); p.wait()"
    )
    parent = subprocess.Popen([sys.executable, "-c", sleeper], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    ended = os.pidfd_open(child)

    parent.kill()
    parent.wait(LONG_S)
    parent.stdout.close()

    try:
        assert select.select([ended], [], [], 0.5)[0] == []
    finally:
        os.kill(child, signal.SIGKILL)
        os.close(ended)
