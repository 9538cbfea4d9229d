"""A worker that is alive and deaf ends itself; one that listens, or is not watched, does not."""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from inference.serving.worker_process import EXIT_STATUS
from tests.support.processes import ROOT, clean_environment, manage, serving, wait_until

DEAF = Path(__file__).with_name("deaf_worker.py")
SLOW = Path(__file__).with_name("slow_worker.py")
LIMIT_S = 2
LOAD_MINUTES, BUSY_PROCESSES = 10, 20
EXPIRED = 100  # for the slow worker the work of several times the limit


@pytest.fixture(params=["files", pytest.param("redis", marks=pytest.mark.service)])
def variables(request, tmp_path):
    given = {"DATA": tmp_path / "data", "GRPC_PORT": 0}
    if request.param == "redis":
        given["REDIS_URL"] = request.getfixturevalue("redis_server").url
    assert manage("migrate", **given).returncode == 0
    return given


@contextmanager
def worker(*command, **variables):
    environ = clean_environment(**variables)
    environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "platform")])
    environ["DJANGO_SETTINGS_MODULE"] = "roundhouse.settings"
    log = variables["DATA"] / "worker.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, *map(str, command)], env=environ, cwd=ROOT, stdout=sink, stderr=sink
        )
    try:
        yield process, log
    finally:
        process.kill()
        process.wait()


def test_a_deaf_worker_ends_itself(variables):
    with worker(DEAF, "chores", **variables, WATCHDOG_S=LIMIT_S) as (process, log):
        # Its start, which beside ten busy processes takes most of the time that its end may take.
        wait_until(lambda: "it is deaf" in log.read_text(), within_s=120, what="the worker's start")
        wait_until(
            lambda: process.poll() is not None, within_s=30, what=f"its end; it said:\n{log.read_text()}"
        )

        assert process.returncode == EXIT_STATUS, log.read_text()
        assert "nothing moves" in log.read_text()


@pytest.mark.long
def test_without_the_watchdog_it_stays(variables):
    """The negative control: the same deaf worker, for longer than it took the other."""
    with (
        worker(DEAF, "chores", **variables, WATCHDOG_S=0) as (process, _log),
        pytest.raises(subprocess.TimeoutExpired),
    ):
        process.wait(timeout=5 + 2 * LIMIT_S)


@pytest.mark.long
def test_a_worker_that_listens_is_left_alone(variables):
    with worker("manage.py", "worker", **variables, WATCHDOG_S=LIMIT_S) as (process, log):
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=5 + 2 * LIMIT_S)

        assert "nothing moves" not in log.read_text()


def send_expired(count, **variables):
    """Chores whose time had passed before any worker saw them, as beat leaves them while no worker runs."""
    code = (
        "from roundhouse.celery import app\n"
        f"for _ in range({count}): app.send_task('inference.record_pulse', expires=-1)\n"
    )
    assert manage("shell", "--no-imports", "-c", code, **variables).returncode == 0


def messages(variables):
    return list((variables["DATA"] / "broker" / "messages").glob("*.msg"))


@pytest.fixture
def files(tmp_path):
    given = {"DATA": tmp_path / "data", "GRPC_PORT": 0, "WATCHDOG_S": LIMIT_S}
    assert manage("migrate", **given).returncode == 0
    return given


def test_expired_messages_are_no_sign_of_deafness(files):
    send_expired(EXPIRED // 2, **files)

    with worker(SLOW, "chores", "delivered", **files) as (process, log):
        wait_until(lambda: len(messages(files)) < EXPIRED // 2, within_s=60, what="the first delivery")
        send_expired(EXPIRED // 2, **files)
        wait_until(
            lambda: process.poll() is not None or not messages(files), within_s=90, what="the backlog's end"
        )

        assert process.poll() is None, log.read_text()


def test_a_worker_that_counts_only_what_is_received_takes_them_for_that(files):
    """The negative control."""
    send_expired(EXPIRED, **files)

    with worker(SLOW, "chores", "received", **files) as (process, log):
        wait_until(
            lambda: process.poll() is not None, within_s=60, what=f"its end; it said:\n{log.read_text()}"
        )

        assert process.returncode == EXIT_STATUS, log.read_text()
        assert messages(files) != []


@contextmanager
def busy_machine(processes):
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


@pytest.mark.long
def test_on_a_busy_machine_no_healthy_worker_ends(tmp_path):
    """With its own beat, whose chores expire before such a worker takes them, and the limit as it comes."""
    with serving(tmp_path, "--demo") as served:
        served.wait_ready()
        with busy_machine(BUSY_PROCESSES), pytest.raises(subprocess.TimeoutExpired):
            served.process.wait(timeout=LOAD_MINUTES * 60)

        assert "nothing moves" not in served.output
        assert "child ended" not in served.output
