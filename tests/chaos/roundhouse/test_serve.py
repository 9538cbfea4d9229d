"""`manage.py serve --demo`, as a newcomer meets it, and what kill -9 does to it."""

import json
import os
import shlex
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT, clean_environment, get, is_running, serving, wait_until


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("demo"), "--demo") as served:
        served.wait_ready()
        yield served


def _run_printed_lines(served):
    wait_until(lambda: "Ctrl-C to stop everything" in served.output, within_s=5, what="the greeting")
    lines = [line.strip() for line in served.output.splitlines() if line.strip().startswith("curl ")]
    answers = [
        subprocess.run(
            [*shlex.split(line), "--silent", "--write-out", "\n%{http_code}"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for line in lines
    ]
    return [answer.rpartition("\n") for answer in answers]


def test_printed_lines_answer(demo):
    answers = _run_printed_lines(demo)

    assert [status for *_, status in answers] == ["200"] * 7
    assert {"outputs", "model", "version", "request_id"} <= json.loads(answers[1][0]).keys()


def test_only_the_owner_can_read_the_credentials(demo):
    path = demo.data / "first-run.json"
    wait_until(lambda: str(path) in demo.output, within_s=10, what="the greeting that names the file")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(demo.credentials) == [
        "url", "operator_user", "operator_password", "approver_user", "approver_password", "api_key",
        "moderator_user", "moderator_password", "lead_user", "lead_password",
    ]  # fmt: skip


def test_worker_takes_tasks_from_broker(demo):
    def broker_works():
        body = json.loads(get(f"{demo.url}/readyz?verbose")[1] or "{}")
        return body.get("checks", {}).get("broker", {}).get("ok")

    wait_until(broker_works, within_s=30, what=f"a pulse; it said:\n{demo.output}")


@pytest.mark.parametrize(
    "victim", ["granian main", "granian worker", "worker", "beat"], ids=lambda name: name.replace(" ", "-")
)
def test_killed_child_is_restarted_within_5_s(demo, victim):
    name, _, which = victim.partition(" ")
    wait_until(
        lambda: len(demo.find("granian")) == 3, within_s=20, what="the web server and its two processes"
    )
    before = wait_until(
        lambda: demo.find(rf"-m (roundhouse\.)?{name}|celery .* {name} "),
        within_s=10,
        what=f"a {name} process",
    )
    pid = before[0] if which != "worker" else before[-1]

    os.kill(pid, signal.SIGKILL)

    wait_until(lambda: not is_running(pid), within_s=5, what="the victim's end")
    wait_until(
        lambda: (
            len(demo.find(rf"-m (roundhouse\.)?{name}|celery .* {name} ")) >= len(before) and demo.is_ready()
        ),
        within_s=5,
        what=f"{victim} again; it said:\n{demo.output}",
    )
    assert pid not in demo.family()
    if which != "worker":
        assert "killed by SIGKILL" in demo.output


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGTERM, id="SIGTERM"),
        pytest.param(signal.SIGINT, id="Ctrl-C", marks=pytest.mark.long),
    ],
)
def test_everything_stops_within_25_s(tmp_path, number):
    with serving(tmp_path, "--demo") as served:
        served.wait_ready()
        family = served.family()
        took_s = served.stop(number)
        left = [pid for pid in family if is_running(pid)]

    assert served.process.returncode == 0
    assert took_s <= 25
    assert len(family) >= 5
    assert left == []


@pytest.mark.long
def test_second_run_changes_nothing(tmp_path):
    with serving(tmp_path, "--demo") as first:
        first.wait_ready()
        kept = (first.data / "first-run.json").read_bytes()
        database = _rows(first.data)
    port = int(first.url.rpartition(":")[2])

    with serving(tmp_path, "--demo", PORT=port) as second:
        second.wait_ready()
        answers = _run_printed_lines(second)

    assert [status for *_, status in answers] == ["200"] * 7
    assert (second.data / "first-run.json").read_bytes() == kept
    assert _rows(second.data) == database


def _rows(data):
    import sqlite3

    with sqlite3.connect(data / "roundhouse.sqlite3") as connection:
        return [
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("auth_user", "auth_group", "registry_model", "registry_version", "registry_apikey")
        ]


def test_supervisor_has_no_runtime_in_it(demo):
    """A crash in native code must not be able to take the parent of all processes down."""
    mapped = Path(f"/proc/{demo.process.pid}/maps").read_text()

    def has_runtime(pid):
        return "onnxruntime" in Path(f"/proc/{pid}/maps").read_text()

    wait_until(
        lambda: any(map(has_runtime, demo.find("granian"))), within_s=20, what="a web process with a runtime"
    )
    assert not [name for name in ("onnxruntime", "cygrpc", "granian") if name in mapped]


@pytest.mark.long
def test_killed_supervisor_leaves_no_orphan(tmp_path):
    with serving(tmp_path) as served:
        served.wait_ready()
        family = served.family()

        served.process.kill()
        served.process.wait()

        wait_until(lambda: not any(map(is_running, family)), within_s=5, what="the end of all children")
        assert len(family) >= 5


@pytest.mark.long
def test_without_the_death_signal_an_orphan_remains():
    """Negative control: a child that does not follow its parent outlives a killed supervisor."""
    program = (
        "from roundhouse.supervisor import Child, Supervisor\n"
        "child = Child('sleep', ['sleep', '60'])\n"
        "Supervisor([child]).run(on_started=lambda: print(child.process.pid, flush=True))"
    )
    supervisor = subprocess.Popen(
        [sys.executable, "-c", program], env={**clean_environment(), "PYTHONPATH": str(ROOT / "platform")},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    with supervisor:
        orphan = int(next(line for line in supervisor.stdout if line.strip().isdigit()))
        supervisor.kill()

    assert is_running(orphan)
    os.kill(orphan, signal.SIGKILL)


@pytest.mark.long
def test_plain_serve_shows_credentials_once_and_keeps_no_file(tmp_path):
    with serving(tmp_path) as first:
        wait_until(lambda: "API key    rh_" in first.output, within_s=30, what="the credentials")
    with serving(tmp_path) as second:
        wait_until(lambda: "Roundhouse runs at" in second.output, within_s=30, what="the second greeting")

    assert "rh_" not in second.output
    assert not (first.data / "first-run.json").exists()
