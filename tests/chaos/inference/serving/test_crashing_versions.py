"""Versions that end the process that runs them, asked for again and again by somebody who may: who else notices."""

import json
import os
import signal
import sqlite3
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from tests.chaos.inference.serving.steady import SteadyRate
from tests.support.onnx_models import CRASHES_AT
from tests.support.processes import changed_web_process, get, manage, post, serving, wait_until

REFUSED = {"version_broken", "loading"}  # the latter where a process has not heard of it yet
SETTINGS = {"WEB_THREADS": 8, "SESSION_MEMORY_MB": 4096}
NO_LEDGER = "from inference.engine import crash_notes; crash_notes.ended_processes = lambda folder: iter(())"
NO_SANDBOX = """
from inference.serving import runtime
executor = runtime.started().executor
executor._engine_of = lambda target: executor._engine
"""


def prepare(data, crashing, untried, **variables):
    manage("migrate", DATA=data, **variables)
    code = (
        f"from tests.chaos.inference.serving.crashing_installation import main\nmain({crashing}, {untried})"
    )
    made = manage("shell", "--no-imports", "-c", code, DATA=data, timeout=240, **variables)
    assert made.returncode == 0, made.stderr
    return made.stdout.split("key ")[1].strip()


class Attacker:
    """Somebody with a key, who knows the number that ends each Model's process."""

    def __init__(self, url, key):
        self._url, self._key = url, key
        self.deaths = 0

    def ask(self, model, x, version=None):
        """What came of it: `answered`, a code, or `died` where the connection broke."""
        named = f"{model}/versions/{version}" if version else model
        try:
            status, body = post(
                f"{self._url}/api/v1/models/{named}/predict", {"inputs": {"x": [[x]]}},
                **{"Authorization": f"Bearer {self._key}", "Content-Type": "application/json", "X-Deadline-Ms": "9000"},
            )  # fmt: skip
        except OSError:
            self.deaths += 1
            return "died"
        return "answered" if status == 200 else body["code"]

    def ask_until_broken(self, model, x, version=None, within_s=60.0):
        told = []

        def is_broken():
            told.append(self.ask(model, x, version))
            return told[-1] == "version_broken"

        wait_until(is_broken, within_s=within_s, what=f"{model} is refused")
        return told


def crashes_in(data):
    """(Model, version) of every crash that was written down, and which versions are broken."""
    with sqlite3.connect(f"file:{data / 'roundhouse.sqlite3'}?mode=ro", uri=True) as database:
        named = "registry_model m join registry_version v on v.model_id = m.id"
        counted = database.execute(
            f"select m.slug, v.number, count(*) from {named} join registry_versioncrash c on c.version_id = v.id"
            " group by m.slug, v.number"
        ).fetchall()
        broken = database.execute(
            f"select m.slug, v.number from {named} where v.broken_at is not null"
        ).fetchall()
    return {(slug, number): count for slug, number, count in counted}, set(broken)


def web_crashes_in(data):
    """How many web processes each version ended."""
    with sqlite3.connect(f"file:{data / 'roundhouse.sqlite3'}?mode=ro", uri=True) as database:
        ended = (
            "select version_id, count(*) from registry_versioncrash where process = 'web' group by version_id"
        )
        return dict(database.execute(ended).fetchall())


def web_processes(served):
    return served.find(r"granian.*roundhouse\.wsgi")[1:]


@contextmanager
def attacked(tmp_path, count):
    """Twenty, or fewer, versions on splits and as many that nobody approved, beside callers of two innocent ones."""
    data = tmp_path / "data"
    variables = {**SETTINGS, "WEB_PROCESSES": 2}
    key = prepare(data, count, count, **variables)
    with serving(tmp_path, **variables) as served:
        served.wait_ready()
        attacker = Attacker(served.url, key)
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        fleet = SimpleNamespace(address=f"127.0.0.1:{served.port}", headers=headers, folder=tmp_path)
        with SteadyRate(fleet, per_s=40, connections=4) as steady:
            steady.wait_until(time.monotonic() + 1)
            before = web_processes(served)
            began = time.monotonic()
            for number in range(count):
                attacker.ask_until_broken(f"untried-{number}", -CRASHES_AT - number, version=2)
            untried_until, after = time.monotonic(), web_processes(served)
            untried_deaths, attacker.deaths = attacker.deaths, 0
            for number in range(count):
                attacker.ask_until_broken(f"crash-{number}", CRASHES_AT + number)
            broken_at = time.monotonic()
            for _ in range(20):  # the attacker goes on
                for number in range(count):
                    assert attacker.ask(f"crash-{number}", CRASHES_AT + number) in REFUSED
                    assert attacker.ask(f"untried-{number}", 0, version=2) in REFUSED
            ended = max(time.monotonic(), broken_at + 3)
            steady.wait_until(ended)
        yield SimpleNamespace(
            served=served, data=data, attacker=attacker, before=before, after=after, untried_deaths=untried_deaths,
            beside_untried=steady.between(began, untried_until),
            beside_crashing=steady.between(untried_until, broken_at),
            since_broken=steady.between(broken_at, ended),
        )  # fmt: skip


def answered(asked):
    return sum(one.status == 200 and one.is_right for one in asked) / len(asked)


@pytest.mark.parametrize("count", [2, pytest.param(20, marks=pytest.mark.long)])
def test_who_crashes_is_refused_and_nobody_else(tmp_path, count):
    with attacked(tmp_path, count) as found:
        served, data, attacker = found.served, found.data, found.attacker

        counted, broken = crashes_in(data)
        guilty = {(f"crash-{n}", 1) for n in range(count)} | {(f"untried-{n}", 2) for n in range(count)}
        print(  # noqa: T201 (the figures of the mark)
            f"{count} of each: beside unapproved {answered(found.beside_untried):.2%} of {len(found.beside_untried)},"
            f" beside approved {answered(found.beside_crashing):.2%} of {len(found.beside_crashing)},"
            f" once refused {answered(found.since_broken):.2%} of {len(found.since_broken)};"
            f" {attacker.deaths} requests broke off, crashes {sorted(counted.values())}"
        )
        assert broken == set(counted) == guilty
        assert min(counted.values()) == 2

        # No process died of what nobody approved; what was approved could end each process once for each version.
        assert (found.before, found.untried_deaths) == (found.after, 0)
        # Each of two before it hears of it, and one that hears late.
        assert max(web_crashes_in(data).values()) <= 3
        assert answered(found.beside_untried) >= 0.99
        assert answered(found.since_broken) >= 0.99

        verbose = json.loads(get(f"{served.url}/readyz?verbose")[1])
        assert (verbose["status"], verbose["checks"]["versions"]["broken"]) == ("degraded", count)

        code = (
            "from registry.catalogue.models import Version; from registry.catalogue.services import clear_crashes\n"
            "from registry.access.policies import command_actor\n"
            "version = Version.objects.get(model__slug='crash-0')\n"
            "clear_crashes(version=version, reason='a test', by=command_actor('test'))"
        )
        assert served.manage("shell", "--no-imports", "-c", code).returncode == 0
        wait_until(lambda: attacker.ask("crash-0", 1) == "answered", within_s=30, what="it answers again")


@pytest.fixture
def one_process(tmp_path):
    """A web process alone that is started again whenever it dies, with guards taken away."""
    key = prepare(tmp_path / "data", 1, 1, **SETTINGS)

    def run(change="", before=""):
        return changed_web_process(
            tmp_path,
            tmp_path / "data",
            change,
            before=before,
            respawns=True,
            threads=8,
            SESSION_MEMORY_MB=4096,
        )

    return key, run


def wait_for(port):
    wait_until(lambda: get(f"http://127.0.0.1:{port}/readyz")[0] == 200, within_s=60, what="ready")


def test_it_ends_one_process_and_then_children_until_it_is_refused(one_process):
    key, run = one_process
    with run() as port:
        wait_for(port)
        attacker = Attacker(f"http://127.0.0.1:{port}", key)
        first = attacker.ask("crash-0", CRASHES_AT)
        wait_for(port)
        told = attacker.ask_until_broken("crash-0", CRASHES_AT)

    assert (first, "died" in told, "run_crashed" in told) == ("died", False, True)


def test_without_the_ledger_it_ends_one_process_after_the_other(one_process):
    key, run = one_process
    with run(before=NO_LEDGER) as port:
        attacker = Attacker(f"http://127.0.0.1:{port}", key)
        told = []
        for _ in range(3):
            wait_for(port)
            told.append(attacker.ask("crash-0", CRASHES_AT))

    assert told == ["died"] * 3


def test_without_children_a_version_that_nobody_approved_ends_the_process(one_process):
    key, run = one_process
    with run(change=NO_SANDBOX) as port:
        wait_for(port)

        told = Attacker(f"http://127.0.0.1:{port}", key).ask("untried-0", -CRASHES_AT, version=2)

    assert told == "died"


def test_processes_that_are_killed_blame_nobody(one_process, tmp_path):
    key, run = one_process
    with run() as port:
        for _ in range(3):
            wait_for(port)
            attacker = Attacker(f"http://127.0.0.1:{port}", key)
            wait_until(lambda: attacker.ask("double", 1.0) == "answered", within_s=30, what="an answer")  # noqa: B023
            (notes,) = (tmp_path / "data" / "crashes").glob("web-*.crash")
            os.kill(int(notes.name.split("-")[1]), signal.SIGKILL)
            wait_until(lambda: not notes.exists(), within_s=60, what="its notes are read")  # noqa: B023

    assert crashes_in(tmp_path / "data") == ({}, set())
